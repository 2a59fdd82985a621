"""What cannot boot says why, exits 6, and is never ready."""

import dataclasses
import pathlib

import pytest

from tests.container import box
from tests.container.conftest import Start

pytestmark = pytest.mark.container

BOOT_FAILURE = 6


def derive(image: str, name: str, *steps: str) -> str:
    """Build an image upon ``image`` by root's ``steps`` and return its name."""
    tag = f"{image}-{name}"
    text = "\n".join([f"FROM {image}", "USER 0:0", *steps, "USER 1000:1000", ""])
    box.engine_ok("build", "--layers", "--quiet", "--pull=never", "--tag", tag, "--file=-", stdin=text)
    return tag


@dataclasses.dataclass(frozen=True)
class Refusal:
    """How a boot ended: PID 1's code, its events and the last failure's phase and cause."""

    code: int
    names: list[str]
    phase: str
    cause: str


def refusal(ours: box.Box) -> Refusal:
    """Wait for the end of a boot that must fail."""
    code = ours.wait_until_exited()
    events = ours.events()
    failures = [event for event in events if event["event"] == "BootstrapFailed"]
    assert len(failures) == 1, ours.log()
    return Refusal(code, [event["event"] for event in events], failures[0]["phase"], failures[0]["cause"])


def test_a_missing_required_artifact_ends_the_boot_and_is_named(start: Start, shop_image: str) -> None:
    broken = derive(shop_image, "without-api", "RUN rm /opt/shop/api.py")
    ours = start(broken, *box.HARDENED, *box.USER, *box.TMPFS)
    seen = refusal(ours)
    assert (seen.code, seen.phase) == (BOOT_FAILURE, "artifacts")
    [missing] = [event for event in ours.events() if event["event"] == "MissingArtifactDetected"]
    assert (missing["capability"], missing["path"]) == ("api", "/opt/shop/api.py")
    assert "artifact api: " in seen.cause
    assert "/opt/shop/api.py (missing)" in seen.cause
    assert "SupervisorStarted" not in seen.names


def test_a_missing_optional_artifact_is_a_warning_and_the_shop_sells(start: Start, shop_image: str) -> None:
    poorer = derive(shop_image, "without-exporter", "RUN rm /opt/shop/exporter.py")
    ours = start(poorer, *box.HARDENED, *box.USER, *box.TMPFS)
    ours.wait_until_sealed()
    assert "OptionalArtifactMissing" in [event["event"] for event in ours.events()]
    [items] = ours.fetch("8000/items")
    assert items.status == 200


def test_an_edited_configuration_is_refused(start: Start, hello_image: str) -> None:
    edited = derive(hello_image, "edited", "RUN echo '[inet_http_server]' >> /opt/bootseal/etc/supervisord.conf")
    seen = refusal(start(edited, *box.HARDENED, *box.USER, *box.TMPFS))
    assert seen.code == BOOT_FAILURE
    assert "supervisord.conf" in seen.cause


def test_a_writable_immutable_root_is_refused(start: Start, shop_image: str) -> None:
    loose = derive(shop_image, "loose", "RUN chmod o+w /opt/shop/resp.py")
    seen = refusal(start(loose, "--network=none", *box.USER, *box.TMPFS))
    assert (seen.code, seen.phase) == (BOOT_FAILURE, "immutable-root")
    assert "/opt/shop/resp.py" in seen.cause
    assert "ImmutableRootWritable" not in seen.names


def test_root_on_a_writable_image_is_refused(start: Start, shop_image: str) -> None:
    seen = refusal(start(shop_image, "--network=none", "--user=0:0"))
    assert (seen.code, seen.phase) == (BOOT_FAILURE, "immutable-root")


def test_without_a_writable_run_the_boot_fails_and_says_what_to_mount(start: Start, hello_image: str) -> None:
    seen = refusal(start(hello_image, *box.HARDENED, *box.USER))
    assert (seen.code, seen.phase) == (BOOT_FAILURE, "run-directory")
    assert "/run" in seen.cause


def test_a_required_program_that_cannot_run_ends_the_boot(start: Start, shop_image: str) -> None:
    broken = derive(shop_image, "broken-api", "RUN echo 'raise SystemExit(3)' > /opt/shop/api.py")
    seen = refusal(start(broken, *box.HARDENED, *box.USER, *box.TMPFS))
    assert seen.code == BOOT_FAILURE
    assert "api" in seen.cause
    assert "BootstrapCompleted" not in seen.names


def test_the_cause_is_in_the_termination_log_where_there_is_one(
    start: Start, hello_image: str, tmp_path: pathlib.Path
) -> None:
    log = tmp_path / "termination-log"
    log.touch(mode=0o666)
    log.chmod(0o666)
    edited = derive(hello_image, "edited", "RUN echo '[inet_http_server]' >> /opt/bootseal/etc/supervisord.conf")
    seen = refusal(start(edited, *box.HARDENED, *box.USER, *box.TMPFS, f"--volume={log}:/dev/termination-log"))
    assert seen.cause in log.read_text()


def test_an_unknown_example_is_told_which_there_are() -> None:
    done = box.script("image", "shopp")
    assert done.returncode == 1
    assert "shop" in done.stderr.replace("shopp", "")
