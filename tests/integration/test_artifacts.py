"""Closures at a real boot: what is as it was locked is sealed, what is not ends the boot or holds its programs back."""

import hashlib
import json
import os
import pathlib
import signal
import sys

import pytest
import tree as trees

SLEEP = ["/bin/sleep", "1000"]


def image(folder: pathlib.Path) -> pathlib.Path:
    """Make two artifacts that anybody can read."""
    app = folder / "app"
    (app / "lib").mkdir(parents=True)
    for name, text in (("main.py", "print()\n"), ("lib/a.py", "A = 1\n"), ("lib/b.py", "B = 2\n")):
        (app / name).write_text(text)
    (app / "now").symlink_to("lib/a.py")
    (folder / "tool").write_text("#!/bin/sh\nexit 0\n")
    (folder / "tool").chmod(0o755)
    return app


def manifest(*, tool: dict[str, object] | None = None, app: dict[str, object] | None = None) -> dict[str, object]:
    return {
        "artifacts": {
            "app": {"path": "${here}/app", **(app or {})},
            "tool": {"path": "${here}/tool", "kind": "file", **(tool or {})},
        },
        "programs": {
            "api": {"command": SLEEP, "artifacts": ["app"], "ready": {"running": True, "for": "10ms"}},
            "extra": {
                "command": SLEEP, "artifacts": ["tool"], "required": False, "ready": {"running": True, "for": "10ms"},
            },
        },
    }  # fmt: skip


def test_what_was_locked_is_verified_and_stands_in_the_seal(tree: trees.Tree) -> None:
    image(tree.root)
    tree.build(manifest(), lock=True)
    lock = (tree.root / "closures.lock").read_bytes()
    assert (tree.plan_directory / "closures.lock").read_bytes() == lock
    tree.start().wait_ready()
    told = {event["capability"]: event for event in tree.events("CapabilityValidated") if "verified" in event}
    roots = {name: found["sha256"] for name, found in json.loads(lock)["artifacts"].items()}
    assert {name: (event["verified"], event["sha256"]) for name, event in told.items()} == {
        name: ("digest", root) for name, root in roots.items()
    }
    seal = json.loads(pathlib.Path(tree.run.seal).read_bytes())
    assert {artifact["id"]: artifact["sha256"] for artifact in seal["artifacts"]} == roots
    assert seal["lock_sha256"] == hashlib.sha256(lock).hexdigest()


def test_everything_that_changed_in_required_artifacts_is_told_before_the_boot_fails(tree: trees.Tree) -> None:
    app = image(tree.root)
    tree.build(manifest(), lock=True)
    (app / "main.py").write_text("evil()\n\n")
    (app / "lib" / "a.py").unlink()
    (app / "lib" / "new.py").write_text("")
    (app / "lib" / "b.py").chmod(0o777)
    (app / "now").unlink()
    (app / "now").symlink_to("lib/b.py")
    (tree.root / "tool").write_text("#!/bin/sh\nexit 1\n")
    assert tree.start().exit_code() == 6
    told = {event["capability"]: event for event in tree.events("MissingArtifactDetected")}
    assert set(told) == {"app", "tool"}
    faults = "\n".join(told["app"]["faults"])
    for path, kind in (
        ("main.py", "changed"), ("lib/a.py", "missing"), ("lib/new.py", "extra"), ("lib/b.py", "mode"), ("now", "retargeted"),
    ):  # fmt: skip
        assert f"{app}/{path} ({kind})" in faults
    assert "tool (changed)" in told["tool"]["faults"][0]
    failure = tree.failure()
    assert failure["phase"] == "artifacts"
    assert "app" in failure["cause"] and "tool" in failure["cause"]
    assert tree.events("SupervisorStarted") == []


@pytest.mark.parametrize("verify", ["metadata", "presence"])
def test_a_weaker_verification_sees_what_it_says_and_no_more(tree: trees.Tree, verify: str) -> None:
    app = image(tree.root)
    tree.build(manifest(app={"verify": verify}), lock=True)
    (app / "main.py").write_text("PRINT()\n")  # as long as before
    tree.start().wait_ready()
    assert tree.stop() == 0
    (app / "lib" / "a.py").write_text("much longer than before\n")
    tree.start()
    if verify == "presence":
        tree.wait_ready()
    else:
        assert tree.exit_code() == 6
        assert f"{app}/lib/a.py (changed)" in tree.events("MissingArtifactDetected")[0]["reason"]


@pytest.mark.parametrize("damage", ["empty", "cut", "edited", "gone", "unreadable", "another"])
def test_a_lock_that_cannot_be_used_ends_the_boot(tree: trees.Tree, damage: str) -> None:
    image(tree.root)
    tree.build(manifest(), lock=True)
    path = tree.plan_directory / "closures.lock"
    data = path.read_bytes()
    match damage:
        case "gone":
            path.unlink()
        case "unreadable":
            path.unlink()
            path.mkdir()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[:-5])
        case "edited":
            path.write_bytes(data.replace(b"0644", b"0666", 1))
        case _:
            path.write_bytes(b'{"schema": "bootseal.lock/1", "artifacts": {\n}}\n')
    assert tree.start().exit_code() == 6
    assert tree.failure()["phase"] == "artifacts"
    assert "closures.lock" in tree.failure()["cause"]


def test_an_optional_artifact_that_changed_holds_back_who_needs_it_and_nothing_else(tree: trees.Tree) -> None:
    image(tree.root)
    tree.build(manifest(tool={"required": False}), lock=True)
    (tree.root / "tool").write_text("#!/bin/sh\nrm -rf /\n")
    tree.start().wait_ready()
    assert [event["capability"] for event in tree.events("OptionalArtifactMissing")] == ["tool"]
    view = tree.program("extra")
    assert (view.pid, view.final) == (None, True)
    assert "artifact tool cannot be used" in view.reason and "changed" in view.reason
    seal = json.loads(pathlib.Path(tree.run.seal).read_bytes())
    assert [artifact["usable"] for artifact in seal["artifacts"]] == [True, False]


def test_a_check_passes_confined_and_without_what_is_not_inherited(tree: trees.Tree) -> None:
    image(tree.root)
    outside = tree.root / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    code = (
        "import os, sys\n"
        "assert 'PRIVATE' not in os.environ, 'environment'\n"
        "assert os.getcwd() == sys.argv[1], os.getcwd()\n"
        "try:\n    open(sys.argv[2] + '/x', 'w')\nexcept PermissionError:\n    sys.exit(0)\n"
        "sys.exit('it could write elsewhere')\n"
    )
    check = {"exec": [sys.executable, "-I", "-c", code, str(tree.root / "app"), str(outside)], "timeout": "20s"}
    tree.build(manifest(app={"check": check}), lock=True)
    tree.start({"PRIVATE": "x"}).wait_ready()
    [told] = [event for event in tree.events("CapabilityValidated") if event["capability"] == "app"]
    assert told["check"] == "passed"


def test_a_check_that_fails_is_told_with_its_words_and_one_that_hangs_is_killed(tree: trees.Tree) -> None:
    image(tree.root)
    failing = {"exec": ["/bin/sh", "-c", "echo no such module >&2; exit 3"], "timeout": "5s"}
    hanging = {"exec": ["/bin/sh", "-c", "sleep 4242 & sleep 4242"], "timeout": "300ms"}
    tree.build(manifest(app={"check": failing}, tool={"check": hanging}), lock=True)
    assert tree.start().exit_code() == 6
    told = {event["capability"]: event["reason"] for event in tree.events("MissingArtifactDetected")}
    assert "3" in told["app"] and "no such module" in told["app"]
    assert "300" in told["tool"] or "0.3" in told["tool"]
    assert trees.processes_of("4242") == []


def test_a_stop_during_a_check_ends_the_boot_at_once_and_leaves_nothing(tree: trees.Tree) -> None:
    image(tree.root)
    tree.build(manifest(tool={"check": {"exec": ["/bin/sleep", "4343"], "timeout": "60s"}}), lock=True)
    tree.start()
    trees.wait_until(lambda: trees.processes_of("4343"), "the check runs", tree.stderr)
    os.kill(tree.pid, signal.SIGTERM)
    assert tree.exit_code() == 143
    assert trees.processes_of("4343") == []


def test_runtimes_are_found_and_shown(tree: trees.Tree) -> None:
    tree.build({"runtimes": ["shell", "perl"], "programs": {"api": {"command": SLEEP}}})
    tree.start().wait_ready()
    written = json.loads(pathlib.Path(tree.run.runtimes).read_bytes())
    [shell] = [found for found in written["runtimes"] if found["name"] == "shell"]
    assert os.access(shell["path"], os.X_OK)
    status, meta = tree.get("/v1/meta")
    assert status == 200
    assert {found["name"] for found in meta["runtimes"]} >= {"shell"}


def test_runtimes_that_are_said_are_not_looked_for(tree: trees.Tree) -> None:
    tree.build({"runtimes": ["shell", "perl"], "programs": {"api": {"command": SLEEP}}})
    tree.start({"BOOTSEAL_RUNTIMES": "shell,cobol"}).wait_ready()
    written = json.loads(pathlib.Path(tree.run.runtimes).read_bytes())
    assert [(found["name"], found["version"]) for found in written["runtimes"]] == [("shell", None), ("cobol", None)]


def test_a_check_finds_no_secret_and_no_key_of_this_boot_or_an_earlier_one_and_writes_no_identity(
    tree: trees.Tree,
) -> None:
    image(tree.root)
    run = tree.run
    script = f"test ! -e {run.secrets} && test ! -e {run.keys} && ! echo evil >{run.path}/evil && ! echo evil >{run.identity}/id"
    whole = manifest(tool={"check": {"exec": ["/bin/sh", "-c", script]}})
    tree.build({**whole, "secrets": {"s": {"generate": 32, "programs": ["api"]}}}, lock=True)
    for _ in range(2):
        tree.start().wait_ready()
        assert os.path.exists(f"{run.secrets}/api/s")
        assert os.path.exists(f"{run.keys}/ed25519.key")
        assert tree.stop() == 0
