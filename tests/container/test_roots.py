"""Immutable and writable roots in the real container, and what confines Stage A to them under the engine's own seccomp."""

import json
import os
import pathlib

import pytest

from entrypoint import landlock
from tests.container import box
from tests.container.conftest import Start
from tests.container.test_refusals import derive, refusal

pytestmark = pytest.mark.container

CONFINED = """
import errno, json, os
from entrypoint import confinement, landlock
def attempt(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        return errno.errorcode[error.errno]
    return "written"
fd = os.open("/run", os.O_RDONLY | os.O_DIRECTORY)
confined = confinement.Confined([fd])
inside = [confined.run(lambda path=path: attempt(path)) for path in ("/run/made", "/tmp/made", os.devnull)]
print(json.dumps({"version": landlock.version(), "inside": inside, "outside": attempt("/tmp/made")}))
"""


def has_landlock() -> bool:
    """Ask the host's kernel, which is the container's."""
    try:
        return landlock.version() >= 1
    except landlock.Unavailable:
        return False


def test_confinement_works_in_the_hardened_container_under_the_engines_own_seccomp(hello: box.Box) -> None:
    if os.environ.get("CI") != "true" and not has_landlock():
        pytest.skip("this kernel has no Landlock")
    seen = json.loads(hello.python(CONFINED))
    assert seen["version"] >= 1
    assert seen["inside"] == ["written", "EACCES", "written"]
    assert seen["outside"] == "written"


def test_the_programs_are_not_confined_by_what_confined_stage_a(sealed: box.Box) -> None:
    assert sealed.run("/opt/bootseal/bin/python", "-I", "-c", "open('/tmp/unconfined', 'w')").returncode == 0
    assert "ConfinementUnavailable" not in [event["event"] for event in sealed.events()]


def test_openat2_is_there_under_the_engines_own_seccomp(hello: box.Box) -> None:
    program = (
        "import ctypes, os; from contract import directories\n"
        "fd = os.open('/', directories.OPEN_FLAGS)\n"
        "print(directories.resolve_beneath(fd, 'run/bootseal') is not None, directories._absent)\n"
    )
    assert hello.python(program) == "True []\n"


def loose(image: str) -> str:
    """Return an image whose plan does not insist, and whose immutable root everybody can write to."""
    edit = (
        "RUN /opt/bootseal/bin/python -I -c \"import json; path = '/opt/bootseal/etc/plan.json'; plan = json.load(open(path));"
        " plan['boot']['strict'] = False; open(path, 'w').write(json.dumps(plan))\""
    )
    return derive(image, "not-strict", "RUN chmod o+w /opt/shop/resp.py", edit)


def test_a_writable_immutable_root_that_need_not_be_is_a_warning_and_stands_in_health(
    start: Start, shop_image: str
) -> None:
    ours = start(loose(shop_image), "--network=none", *box.USER, *box.TMPFS)
    ours.wait_until_sealed()
    [told] = [event for event in ours.events() if event["event"] == "ImmutableRootWritable"]
    assert told["level"] == "warn"
    assert told["path"] == "/opt/shop"
    assert told["reason"] == "/opt/shop/resp.py can be written: its mode 0646 lets everybody write"
    [health] = ours.fetch("8080/health")
    assert [warning for warning in health.json["boot"]["warnings"] if told["reason"] in warning]


def test_a_writable_volume_beneath_an_immutable_root_is_refused_and_named(start: Start, shop_image: str) -> None:
    seen = refusal(start(shop_image, *box.HARDENED, *box.USER, *box.TMPFS, "--tmpfs=/opt/shop/cache"))
    assert (seen.code, seen.phase) == (6, "immutable-root")
    assert "/opt/shop/cache is mounted writable beneath it (tmpfs)" in seen.cause


def test_a_symlink_planted_in_a_volume_ends_the_boot_and_nothing_is_written_behind_it(
    start: Start, shop_image: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o777)
    (tmp_path / "shop").symlink_to("elsewhere")
    seen = refusal(start(shop_image, *box.HARDENED, *box.USER, "--tmpfs=/tmp:U", f"--volume={tmp_path}:/run:U"))
    assert (seen.code, seen.phase) == (6, "writable-roots")
    assert "/run/shop is a symlink to elsewhere" in seen.cause
    assert list((tmp_path / "elsewhere").iterdir()) == []
