"""The promises that a container image of many programs is expected to keep, RC-002 and RC-003: one test each, and each can fail."""

import json
import pathlib
import re
from typing import Any

import pytest
import yaml

from container import compose, engine_argv, rendering
from container.conformance import collecting
from tests.container import box, image_registry, plans
from tests.container.conftest import Start
from tests.container.test_conformance import judged, load, plan_of, rendered
from tests.container.test_refusals import derive, refusal

pytestmark = pytest.mark.container

INSTALLER = re.compile(
    r"\b(npm|pnpm|yarn|pip3?|pipx|uv|gem|cargo|go|apt|apt-get|apk|dnf)\s+(\S+\s+)?(install|add|ci|get)\b"
    r"|\bplaywright\s+install\b|\bnpx\s+.*\binstall\b|\bgit\s+(clone|pull)\b|\b(curl|wget)\s+\S"
)
DOWNLOADING = re.compile(r"\b(download|fetch|install|collect|resolv)(ing|ed) \S", re.IGNORECASE)
READ = """
import json, os, sys
found = {}
for top in sys.argv[1:]:
    for folder, _, names in os.walk(top):
        for name in names:
            if name.endswith(".md"):  # it is for people
                continue
            path = os.path.join(folder, name)
            try:
                found[path] = open(path, encoding="utf-8").read()
            except (UnicodeDecodeError, OSError):
                pass
json.dump(found, sys.stdout)
"""


def installers(files: dict[str, str]) -> list[str]:
    """Return the lines that would install or download something, comments left out."""
    return [
        f"{path}: {line.strip()}"
        for path, content in files.items()
        for line in content.splitlines()
        if not line.lstrip().startswith("#") and INSTALLER.search(line)
    ]


def manifest_plan(directory: pathlib.Path, manifest: dict[str, Any]) -> str:
    """Compile ``manifest`` for the image and return the option that mounts it."""
    directory.chmod(0o755)
    place = directory / "etc"
    place.mkdir()
    return plans.mounted(place, {"version": 1, "probes": {"listen": "127.0.0.1:8080"}, **manifest})


def test_rc_002_01_a_container_without_network_on_a_read_only_root_becomes_ready(sealed: box.Box) -> None:
    """RC-002-01: no network and no writable root are needed to be ready, the answer says what is, and nothing was downloaded."""
    interfaces = sealed.host.file("/proc/net/dev").content_string.splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    assert "ro" in sealed.host.mount_point("/").options
    [ready] = sealed.fetch("8080/ready")
    assert ready.status == 200
    assert set(ready.json) == {"ready", "since", "requirements"}
    assert ready.json["ready"] is True
    assert ready.json["requirements"]
    said = [line for line in sealed.log().splitlines() if INSTALLER.search(line) or DOWNLOADING.search(line)]
    assert said == []
    assert DOWNLOADING.search("Downloading chromium 120") and INSTALLER.search("npm WARN npm install -g x")


def test_rc_002_02_every_artifact_is_usable_and_boot_adds_none(start: Start, shop_image: str) -> None:
    """RC-002-02: every artifact passes its check in the container, and a root that could be written has nothing new after the boot."""
    ours = start(shop_image, "--network=none", *box.USER, *box.TMPFS)
    ours.wait_until_sealed()
    booted = json.loads(ours.host.file("/run/bootseal/boot.json").content_string)["closures"]
    planned = json.loads(plan_of(shop_image))["artifacts"]
    assert {one["artifact"] for one in booted} == {one["id"] for one in planned} != set()
    assert [one for one in booted if one["reason"]] == []
    assert {one["verified"] for one in booted} <= {"digest", "metadata", "presence"}
    changed = {line.split(maxsplit=1)[1] for line in box.engine_ok("diff", ours.name).splitlines()}
    assert not [path for path in changed if path.startswith(("/opt", "/usr", "/srv", "/var", "/home", "/root"))]
    done = box.engine("exec", "--user=0:0", ours.name, "mkdir", "-p", "/opt/shop/node_modules/x")
    assert done.returncode == 0, done.stderr
    assert "/opt/shop/node_modules" in box.engine_ok("diff", ours.name), "what is added would be seen"


def test_rc_002_03_nothing_that_runs_at_boot_installs_anything(sealed: box.Box) -> None:
    """RC-002-03: no entrypoint, program, script or plan of the image has a line that installs or downloads, hidden by ``|| true`` or not."""
    name = json.loads(sealed.host.file("/opt/bootseal/etc/plan.json").content_string)["name"]
    done = sealed.run(
        "/opt/bootseal/bin/python", "-I", "-c", READ, "/usr/local/bin", f"/opt/{name}", "/opt/bootseal/etc"
    )
    files = json.loads(done.stdout)
    assert {"/usr/local/bin/bootseal", "/opt/bootseal/etc/plan.json", "/opt/bootseal/etc/supervisord.conf"} <= set(
        files
    )
    files["argv"] = "\n".join(
        " ".join(program["argv"]) for program in json.loads(files["/opt/bootseal/etc/plan.json"])["programs"]
    )
    files["entrypoint"] = sealed.inspect("{{.Config.Entrypoint}}")
    assert installers(files) == []
    planted = {
        "a": "npm install --silent || true\n# npm install\n", "b": "exec pip install x", "c": "npx -y playwright install",
        "d": "echo installed",
    }  # fmt: skip
    assert [line.split(":")[0] for line in installers(planted)] == ["a", "b", "c"]


def test_rc_002_04_a_read_only_application_fills_its_writable_root(
    start: Start, hello_image: str, tmp_path: pathlib.Path
) -> None:
    """RC-002-04: with the application mounted read-only the container is ready, writes nothing there, and its workspace is filled."""
    application = tmp_path / "app"
    (application / "workspace").mkdir(parents=True)
    (application / "workspace" / "README").write_text("welcome")
    option = manifest_plan(
        tmp_path,
        {
            "name": "workspace",
            "boot": {
                "immutable": ["/opt/app"],
                "writable": [{"path": "/workspace", "mode": "0750", "from": "/opt/app/workspace"}],
            },
            "programs": {"api": {"command": ["sh", "-c", "test -s /workspace/README && exec sleep 1000"]}},
        },
    )
    loaded = load((tmp_path / "etc" / "plan.json").read_bytes())
    ours = start(hello_image, *rendered(loaded), option, f"--volume={application}:/opt/app:ro")
    ours.wait_until_sealed()
    assert ours.run("cat", "/workspace/README").stdout == "welcome"
    assert "Read-only file system" not in ours.log()
    assert "Read-only file system" in ours.run("touch", "/opt/app/made").stderr
    assert ours.run("touch", "/workspace/made").returncode == 0
    assert judged(ours, loaded).broken["immutable-paths"] == ""


def test_rc_002_05_a_missing_required_artifact_ends_the_boot(start: Start, shop_image: str) -> None:
    """RC-002-05: without a required artifact the container exits with a code of its own, and its events name what is missing."""
    ours = start(derive(shop_image, "without-api", "RUN rm /opt/shop/api.py"), *box.HARDENED, *box.USER, *box.TMPFS)
    seen = refusal(ours)
    assert seen.code == 6
    assert {"MissingArtifactDetected", "BootstrapFailed"} <= set(seen.names)
    assert "SupervisorStarted" not in seen.names
    assert "/opt/shop/api.py" in seen.cause


def test_rc_003_06_an_image_of_this_machine_and_one_of_a_registry_run_alike(
    start: Start, hello_image: str, tmp_path: pathlib.Path
) -> None:
    """RC-003-06: a local reference and a registry's are rendered as they are written, and the container of each is ready."""
    loaded = load(plan_of(hello_image))
    with image_registry.serving(hello_image, tmp_path / "layout") as (reference, asked):
        assert reference.startswith("127.0.0.1:")
        for written in (hello_image, reference):
            options = rendering.Options(rendering.image(written), "test", "test")
            assert engine_argv.argv(loaded, options, engine_argv.PODMAN)[-1] == written
            [service] = compose.document(loaded, options)["services"].values()
            assert service["image"] == written
        local = start(hello_image, *rendered(loaded))
        remote = start(reference, *rendered(loaded), "--pull=always", "--tls-verify=false")
    try:
        assert any("/manifests/" in path for path in asked), "it was asked for, not found here"
        for ours in (local, remote):
            ours.wait_until_sealed()
        assert remote.inspect("{{.ImageName}}") == reference
        digests = {ours.host.file("/opt/bootseal/etc/plan.json").sha256sum for ours in (local, remote)}
        assert digests == {loaded.sha256}
    finally:
        box.engine("untag", reference, reference)  # the name goes, and the image stays under its own


def test_rc_003_07_readiness_follows_what_is_required_and_liveness_does_not(
    start: Start, hello_image: str, tmp_path: pathlib.Path
) -> None:
    """RC-003-07: while something required is slow /livez is 200 and /ready 503 and names it; when it comes, /ready is 200."""
    option = manifest_plan(
        tmp_path,
        {
            "name": "slow",
            "programs": {"slow": {"command": ["sleep", "1000"], "ready": {"file": "${run}/here"}}},
        },
    )
    loaded = load((tmp_path / "etc" / "plan.json").read_bytes())
    ours = start(hello_image, *rendered(loaded), option)
    ours.fetch_until("8080/livez", lambda answer: answer.status == 200)

    def names_it(answer: box.Answer) -> bool:
        return answer.status == 503 and "slow" in [row["id"] for row in answer.json["missing"]]

    unready = ours.fetch_until("8080/ready", names_it)
    assert unready.json["ready"] is False
    live, ready, startup = ours.fetch("8080/livez", "8080/ready", "8080/startupz")
    assert (live.status, ready.status, startup.status) == (200, 503, 503)
    assert ours.run("touch", "/run/bootseal/here").returncode == 0
    ours.wait_until_sealed()
    [ready] = ours.fetch("8080/ready")
    assert (ready.status, "slow" in ready.json["requirements"]) == (200, True)


def test_rc_003_08_metrics_are_rendered_bound_and_served(shop: box.Box, shop_image: str) -> None:
    """RC-003-08: the port of the metrics is in what is rendered, something listens there, and it answers with metrics."""
    loaded = load(plan_of(shop_image))
    port = loaded.plan.probes.metrics_port
    assert port == 9091
    options = rendering.Options(rendering.image(shop_image), "shop", "test")
    [service] = compose.document(loaded, options)["services"].values()
    published = yaml.safe_load(yaml.safe_dump(service["ports"]))
    assert port in [one["target"] for one in published], published
    subject = collecting.look(shop.host, loaded, None, shared_network=False)
    assert [one for one in subject.inside.listeners if one.port == port and one.host == "0.0.0.0"]
    [answer] = shop.fetch(f"{port}/metrics")
    assert answer.status == 200
    assert "# HELP bootseal_" in answer.text


def hardening_of(ours: box.Box) -> dict[str, Any]:
    """Return what the engine says that it holds the container to."""
    described = json.loads(box.engine_ok("inspect", "--type=container", ours.name))[0]
    host = described["HostConfig"]
    return {
        "user": described["Config"]["User"],
        "read-only": host["ReadonlyRootfs"],
        "capabilities": described["EffectiveCaps"] or [],
        "added": host["CapAdd"] or [],
        "tmpfs": set(host["Tmpfs"]),
        "privileged": host["Privileged"],
    }


def test_rc_003_09_the_engine_holds_the_container_to_the_baseline(start: Start, hello_image: str) -> None:
    """RC-003-09: not root, a read-only root, no capability and each file system in memory, as the engine says and the kernel too."""
    loaded = load(plan_of(hello_image))
    ours = start(hello_image, *rendered(loaded))
    ours.wait_until_sealed()
    assert hardening_of(ours) == {
        "user": "1000:1000",
        "read-only": True,
        "capabilities": [],
        "added": [],
        "tmpfs": {one.path for one in loaded.plan.security.tmpfs},
        "privileged": False,
    }
    assert {"/run", "/tmp"} <= {one.path for one in loaded.plan.security.tmpfs}
    found = judged(ours, loaded).broken
    names = ("user", "read-only-root", "capabilities", "no-new-privileges", "seccomp", "memory-mounts", "namespaces")
    assert {name: found[name] for name in names} == dict.fromkeys(names, "")


def test_rc_003_10_the_desktop_adds_what_it_needs_and_takes_nothing_away(
    start: Start, hello_image: str, tmp_path: pathlib.Path
) -> None:
    """RC-003-10: the exception for the desktop adds its file systems in memory, and every capability stays dropped."""
    option = manifest_plan(
        tmp_path,
        {
            "name": "desktop",
            "features": ["desktop"],
            "security": {"exceptions": {"desktop": {"reason": "the operator works on its screen"}}},
            "programs": {"session": {"command": ["sleep", "1000"]}},
        },
    )
    loaded = load((tmp_path / "etc" / "plan.json").read_bytes())
    ours = start(hello_image, *rendered(loaded), option)
    ours.wait_until_sealed()
    seen = hardening_of(ours)
    assert {"/tmp/.X11-unix", "/run/user", "/run", "/tmp"} <= seen["tmpfs"]
    assert (seen["capabilities"], seen["added"], seen["read-only"], seen["user"]) == ([], [], True, "1000:1000")
    found = judged(ours, loaded).broken
    assert (found["memory-mounts"], found["capabilities"], found["attestation"]) == ("", "", "")
    assert "/tmp/.X11-unix" not in {one.path for one in load(plan_of(hello_image)).plan.security.tmpfs}
