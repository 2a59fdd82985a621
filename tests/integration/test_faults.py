"""Each fault of the boot contract with its exact outcome: the event, the exit code, what /ready says."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tree as trees
import yaml

from contract import errors, snapshot
from seal import record, verification

QUICK = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "0s"}}
ONE = {"programs": {"api": QUICK}}


def plant_earlier_seal(tree: trees.Tree) -> Path:
    """Put a seal where an earlier boot would have left it."""
    run = Path(tree.run.path)
    run.mkdir(mode=0o755)
    seal = Path(tree.run.seal)
    seal.write_text("{}")
    uid = trees.other_uid()
    if uid is not None:
        os.chown(run, uid, uid)
        os.chown(seal, uid, uid)
    return seal


# --- the plan ----------------------------------------------------------------------------------------------------


def _remove(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def _make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def _write(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def _other_schema(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": "bootseal.plan/99"}))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        pytest.param(_remove, "No such file", id="missing"),
        pytest.param(_write(b""), "it is empty", id="empty"),
        pytest.param(_truncate, "line", id="truncated"),
        pytest.param(_write(b"\x00\xff\xfe" * 100), "not UTF-8", id="binary"),
        pytest.param(_write(b"[" * 100_000), "nested too deeply", id="deeply nested"),
        pytest.param(_write(b'{"schema": 1, "schema": 2}'), "stands twice", id="duplicate keys"),
        pytest.param(_write(b" " * (17 * 1024 * 1024)), "more than", id="17 MB"),
        pytest.param(_other_schema, "bootseal.plan/99", id="another schema"),
        pytest.param(_make_fifo, "not a regular file", id="a FIFO"),
        pytest.param(_link, "Too many levels", id="a symlink"),
    ],
)
def test_a_bad_plan_is_a_failed_boot_and_the_earlier_seal_is_gone(
    tree: trees.Tree, damage: Callable[[Path], None], why: str
) -> None:
    tree.build(ONE)
    seal = plant_earlier_seal(tree)
    damage(tree.plan_directory / "plan.json")
    assert tree.start().exit_code() == 6
    failure = tree.failure()
    assert failure["phase"] == "plan"
    assert why in failure["cause"]
    assert not seal.exists()


def test_an_edited_configuration_is_a_failed_boot(tree: trees.Tree) -> None:
    tree.build(ONE)
    config = tree.plan_directory / "supervisord.conf"
    config.write_text(config.read_text() + "[program:intruder]\ncommand=/bin/sh\n")
    assert tree.start().exit_code() == 6
    assert tree.failure()["phase"] == "preflight"


def test_a_plan_for_another_run_directory_is_refused(tree: trees.Tree) -> None:
    tree.build(ONE)
    path = tree.plan_directory / "plan.json"
    path.write_text(
        path.read_text().replace(f'"run_directory": "{tree.run.path}"', '"run_directory": "/run/elsewhere"')
    )
    assert tree.start().exit_code() == 6
    assert "--run-dir" in tree.failure()["cause"]


# --- artifacts ---------------------------------------------------------------------------------------------------


def test_a_missing_required_artifact_is_named_and_ends_the_boot(tree: trees.Tree) -> None:
    absent = [f"{tree.root}/absent-{number}" for number in range(2)]
    tree.build({**ONE, "artifacts": {"one": absent[0], "two": absent[1]}})
    assert tree.start().exit_code() == 6
    assert [event["capability"] for event in tree.events("MissingArtifactDetected")] == ["one", "two"]
    failure = tree.failure()
    assert failure["phase"] == "artifacts"
    assert all(path in failure["cause"] for path in absent)


def test_a_missing_optional_artifact_is_told_and_the_boot_goes_on(tree: trees.Tree) -> None:
    tree.build({**ONE, "artifacts": {"extra": {"path": f"{tree.root}/absent", "required": False}}})
    tree.start().wait_ready()
    assert [event["capability"] for event in tree.events("OptionalArtifactMissing")] == ["extra"]
    assert tree.events("BootstrapFailed") == []


# --- the immutable root ------------------------------------------------------------------------------------------


def writable_root(tree: trees.Tree) -> Path:
    root = tree.root / "app"
    root.mkdir()
    root.chmod(0o777)
    return root


def test_a_writable_immutable_root_ends_a_strict_boot(tree: trees.Tree) -> None:
    root = writable_root(tree)
    tree.build({**ONE, "boot": {"immutable": [str(root)]}})
    assert tree.start().exit_code() == 6
    assert tree.failure()["phase"] == "immutable-root"
    assert str(root) in tree.failure()["cause"]
    assert list(root.iterdir()) == []


def test_a_writable_immutable_root_is_a_warning_when_not_strict_and_stands_in_health(tree: trees.Tree) -> None:
    root = writable_root(tree)
    tree.build({**ONE, "boot": {"immutable": [str(root)], "strict": False}})
    tree.start().wait_ready()
    assert [event["path"] for event in tree.events("ImmutableRootWritable")] == [str(root)]
    assert any(str(root) in warning for warning in tree.get("/health")[1]["boot"]["warnings"])


# --- the run directory -------------------------------------------------------------------------------------------


def test_a_group_writable_run_directory_is_refused(tree: trees.Tree) -> None:
    tree.build(ONE)
    plant_earlier_seal(tree)
    Path(tree.run.path).chmod(0o775)
    assert tree.start().exit_code() == 6
    assert "0775" in tree.failure()["cause"]


def test_a_symlink_as_run_directory_is_refused_and_not_followed(tree: trees.Tree) -> None:
    tree.build(ONE)
    elsewhere = tree.root / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    Path(tree.run.path).symlink_to(elsewhere)
    assert tree.start().exit_code() == 6
    assert "symlink" in tree.failure()["cause"]
    assert list(elsewhere.iterdir()) == []


def test_an_unwritable_run_directory_is_refused(tree: trees.Tree) -> None:
    tree.build(ONE)
    plant_earlier_seal(tree).unlink()
    Path(tree.run.path).chmod(0o555)
    if trees.other_uid() is None and os.geteuid() == 0:
        pytest.skip("root may write anywhere, and this interpreter cannot be reached by another user")
    assert tree.start().exit_code() == 6
    assert tree.failure()["phase"] == "run-directory"
    assert "cannot be written" in tree.failure()["cause"]


def test_a_second_boot_in_the_run_directory_of_a_living_one_is_refused_and_changes_nothing(tree: trees.Tree) -> None:
    tree.build(ONE)
    tree.start().wait_ready()
    first, below = tree.process, trees.descendants(tree.pid)
    kept = [Path(path) for path in (tree.run.seal, tree.run.boot_record, f"{tree.run.identity}/ed25519.pub")]
    before = [path.read_bytes() for path in kept]
    assert tree.start().exit_code() == 6
    failure = tree.failure()
    assert failure["phase"] == "run-directory"
    assert first is not None
    assert f"process {first.pid}, which runs" in failure["cause"]
    tree.process = first
    assert [path.read_bytes() for path in kept] == before
    assert tree.get("/ready")[0] == 200
    os.kill(first.pid, signal.SIGKILL)  # and nobody waits for it: a zombie is no living boot
    trees.wait_until_gone([first.pid, *below])
    tree.start().wait_ready()
    assert first.wait() == -signal.SIGKILL


def test_what_cannot_be_replaced_by_supervisors_socket_ends_the_boot(tree: trees.Tree) -> None:
    tree.build(ONE)
    plant_earlier_seal(tree)
    Path(tree.run.supervisor_socket).mkdir()
    assert tree.start().exit_code() == 6
    assert "supervisor.sock" in tree.failure()["cause"]


def test_a_foreign_run_directory_is_refused(tree: trees.Tree) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a directory of another owner")
    tree.build(ONE)
    run = Path(tree.run.path)
    run.mkdir(mode=0o755)
    os.chown(run, 12345, 12345)
    assert tree.start().exit_code() == 6
    assert "12345" in tree.failure()["cause"]


# --- seals that are not this boot's ------------------------------------------------------------------------------


def sealed_elsewhere(other: trees.Tree) -> bytes:
    """Return the real seal of another boot that has ended."""
    other.build(ONE)
    other.start().wait_ready()
    data = Path(other.run.seal).read_bytes()
    assert other.stop() == 0
    return data


def put_seal(tree: trees.Tree, data: bytes) -> None:
    """Replace the seal by ``data``, as a program of the same uid could."""
    path = Path(tree.run.seal)
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def test_a_seal_of_another_container_is_never_accepted(tree: trees.Tree) -> None:
    with trees.directory() as root:
        data = sealed_elsewhere(trees.Tree(root, trees.free_port()))
    tree.build({"programs": {"api": {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1h"}}}})
    tree.start()
    trees.wait_until(lambda: tree.get("/livez")[0] == 200, "live")
    put_seal(tree, data)
    time.sleep(1.2)
    assert tree.get("/startupz")[0] == 503
    assert tree.get("/ready")[0] == 503
    with pytest.raises(record.BadSignature):
        verification.verify(tree.run)


@pytest.mark.parametrize("damage", ["edit", "truncate", "remove"])
def test_a_damaged_seal_takes_readiness_away_until_it_is_whole_again(tree: trees.Tree, damage: str) -> None:
    tree.build(ONE)
    tree.start().wait_ready()
    whole = Path(tree.run.seal).read_bytes()
    if damage == "remove":
        Path(tree.run.seal).unlink()
    else:
        put_seal(tree, whole[:100] if damage == "truncate" else whole.replace(b'"late": false', b'"late": true'))
    body = tree.wait_unready()
    assert [item["kind"] for item in body["missing"]] == ["seal"]
    with pytest.raises(errors.BootsealError):
        verification.verify(tree.run)
    assert tree.get("/startupz")[0] == 200
    put_seal(tree, whole)
    tree.wait_ready()


def test_the_seal_of_an_earlier_boot_is_gone_before_anything_else(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1h"}}}})
    seal = plant_earlier_seal(tree)
    tree.start()
    trees.wait_until(lambda: tree.get("/startupz")[0] == 503, "unsealed")
    assert tree.get("/ready")[0] == 503
    assert not seal.exists()


# --- programs ----------------------------------------------------------------------------------------------------

FAILING = {
    "FATAL": ({"command": ["sh", "-c", "exit 1"], "start_retries": 1}, "is FATAL after 2 tries"),
    "exits 3 at once": ({"command": ["sh", "-c", "echo the reason >&2; exit 3"], "start_retries": 0}, "code 3"),
    "exits 3 later": (
        {"command": ["sh", "-c", "sleep 1.3; exit 3"], "ready": {"running": True, "for": "1h"}},
        "code 3",
    ),
    "exits 0 though not a one-shot": (
        {"command": ["sh", "-c", "sleep 1.3"], "ready": {"running": True, "for": "1h"}},
        "exited with code 0",
    ),
    "killed": (
        {"command": ["sh", "-c", "sleep 1.3; kill -9 $$"], "ready": {"running": True, "for": "1h"}},
        "killed by signal 9",
    ),
    "one-shot exits 7": ({"command": ["sh", "-c", "exit 7"], "oneshot": True}, "code 7"),
}


@pytest.mark.parametrize("how", FAILING)
def test_a_required_program_that_fails_ends_the_boot_with_its_cause(tree: trees.Tree, how: str) -> None:
    program, why = FAILING[how]
    tree.build({"programs": {"bad": program, "good": QUICK}, "boot": {"seal_timeout": "10m"}})
    assert tree.start().exit_code() == 6
    failure = tree.failure()
    assert failure["phase"] == "seal"
    assert "program bad" in failure["cause"]
    assert why in failure["cause"]
    assert not Path(tree.run.seal).exists()


def test_a_failed_programs_last_words_are_in_the_cause(tree: trees.Tree) -> None:
    tree.build({"programs": {"bad": FAILING["exits 3 at once"][0]}})
    assert tree.start().exit_code() == 6
    assert "the reason" in tree.failure()["cause"]


def test_a_failed_dependency_fails_its_dependants_by_name_without_starting_them(tree: trees.Tree) -> None:
    tree.build(
        {
            "programs": {
                "migrate": {"command": ["false"], "oneshot": True},
                "api": {**QUICK, "after": ["migrate"]},
                "web": {**QUICK, "after": ["api"]},
            },
            "boot": {"on_failure": "hold"},
        }
    )
    tree.start()
    tree.wait_for_event("BootstrapFailed")
    web = tree.program("web")
    assert (web.state, web.pid, web.restarts) == (snapshot.FAILED, None, 0)
    assert "migrate" in web.reason


def test_a_failed_boot_is_held_unready_and_says_why(tree: trees.Tree) -> None:
    tree.build({"programs": {"bad": FAILING["one-shot exits 7"][0]}, "boot": {"on_failure": "hold"}})
    tree.start()
    tree.wait_for_event("BootstrapFailed")
    trees.wait_until(lambda: "code 7" in (tree.get("/ready")[1] or {}).get("reason", ""), "/ready names the cause")
    assert tree.get("/ready")[0] == 503
    assert tree.get("/livez")[0] == 200
    assert tree.snapshot().phase == snapshot.HELD
    assert tree.stop() == 0


def test_a_held_boot_that_becomes_ready_later_is_sealed_late(tree: trees.Tree) -> None:
    flag = tree.root / "repaired"
    command = f"test -e {flag}"
    tree.build(
        {"programs": {"check": {"command": ["sh", "-c", command], "oneshot": True}}, "boot": {"on_failure": "hold"}}
    )
    tree.start()
    tree.wait_for_event("BootstrapFailed")
    flag.touch()
    tree.client().call("supervisor.startProcess", "check")
    tree.wait_ready()
    assert verification.verify(tree.run).late


def test_a_required_program_that_supervisord_does_not_know_ends_the_boot(tree: trees.Tree) -> None:
    tree.build(ONE)
    path = tree.plan_directory / "plan.json"
    config = tree.plan_directory / "supervisord.conf"
    text = config.read_text()
    start = text.index("[program:api]")
    end = text.index("[program:", start + 1)
    config.write_text(text[:start] + text[end:])
    whole = json.loads(path.read_text())
    whole["config_sha256"] = hashlib.sha256(config.read_bytes()).hexdigest()
    path.write_text(json.dumps(whole))
    assert tree.start().exit_code() == 6
    assert "unknown" in tree.failure()["cause"]


def test_the_deadline_ends_a_boot_that_never_gets_ready_and_names_who_is_missing(tree: trees.Tree) -> None:
    slow = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1h"}}
    tree.build({"programs": {"slow": slow, "good": QUICK}, "boot": {"seal_timeout": "3s"}})
    assert tree.start().exit_code() == 6
    assert list(tree.events("BootstrapSealTimeout")[0]["missing"]) == ["slow"]
    assert "slow" in tree.failure()["cause"]


# --- our own processes -------------------------------------------------------------------------------------------


def slow_tree(tree: trees.Tree, **boot: Any) -> None:
    slow = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "3s"}}
    tree.build({"programs": {"slow": slow}, "boot": boot})
    tree.start()


def test_a_killed_seal_is_started_again_and_seals(tree: trees.Tree) -> None:
    slow_tree(tree)
    first = trees.wait_until(lambda: seal_pid(tree), "the seal runs")
    os.kill(first, signal.SIGKILL)
    tree.wait_ready()
    assert tree.program("bootstrap-seal").restarts >= 1


def seal_pid(tree: trees.Tree) -> int | None:
    try:
        return tree.program("bootstrap-seal").pid
    except errors.BootsealError:
        return None


def test_a_stopped_seal_cannot_extend_the_deadline(tree: trees.Tree) -> None:
    slow_tree(tree, seal_timeout="6s")
    pid = trees.wait_until(lambda: seal_pid(tree), "the seal runs")
    os.kill(pid, signal.SIGSTOP)
    assert tree.exit_code() == 6
    assert "the seal was not written: bootstrap-seal has not completed" in tree.failure()["cause"]
    assert not Path(tree.run.seal).exists()


def test_a_seal_that_cannot_be_signed_ends_the_boot_with_the_reason(tree: trees.Tree) -> None:
    tree.build({"programs": {"one": {"command": ["sh", "-c", "echo x > $0/keys/ed25519.key; exec sleep 1000", tree.run.path]}},
                "boot": {"seal_timeout": "6s"}})  # fmt: skip
    assert tree.start().exit_code() == 6
    assert "ed25519.key: it is not a PEM private key" in tree.failure()["cause"]
    assert not Path(tree.run.seal).exists()


def test_killed_probes_come_back_and_say_ready_again(tree: trees.Tree) -> None:
    tree.build(ONE)
    tree.start().wait_ready()
    before = tree.program("probes").pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    trees.wait_until(lambda: tree.program("probes").pid not in {None, before}, "probes restarted")
    tree.wait_ready()


def test_probes_that_were_given_up_after_the_seal_are_tried_again(tree: trees.Tree) -> None:
    tree.build(ONE)
    tree.start().wait_ready()
    identity = Path(tree.run.boot_record)
    whole = identity.read_bytes()
    identity.unlink()
    pid = tree.program("probes").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    trees.wait_until(lambda: tree.program("probes").supervisor_state == "FATAL", "probes FATAL")
    assert tree.get("/ready") == (0, None)
    identity.write_bytes(whole)
    tree.wait_ready()


def test_a_failing_stage_b_ends_the_boot_and_starts_no_program(tree: trees.Tree) -> None:
    workspace = tree.root / "workspace"
    command = tree.root / "program"
    command.write_text("#!/bin/sh\nsleep 1000\n")
    tree.build({"programs": {"api": {**QUICK, "command": [str(command)]}}, "boot": {"writable": [str(workspace)]}})
    assert tree.start().exit_code() == 6
    assert "program bootstrap exited with code 6" in tree.failure()["cause"]
    assert str(command) in tree.failure()["cause"]
    assert [event["program"] for event in tree.events("ProgramStarted") if event["program"] == "api"] == []


def test_a_stopped_supervisord_is_not_ready_for_long(tree: trees.Tree) -> None:
    tree.build(ONE)
    tree.start().wait_ready()
    os.kill(tree.pid, signal.SIGSTOP)
    try:
        body = tree.wait_unready()
        assert body["missing"][0]["kind"] == "ledger"
        assert tree.get("/livez")[0] == 200
    finally:
        os.kill(tree.pid, signal.SIGCONT)
    tree.wait_ready()


# --- after the seal ----------------------------------------------------------------------------------------------


def test_a_required_program_killed_after_the_seal_is_named_and_ready_again_when_it_is_back(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": {"command": ["sleep", "1000"]}, "other": QUICK}})
    tree.start().wait_ready()
    pid = tree.program("api").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    body = tree.wait_unready()
    assert [(item["id"], item["kind"], item["required"]) for item in body["missing"]] == [("api", "program", True)]
    tree.wait_ready()
    changes = verification.changes_since(verification.verify(tree.run), tree.snapshot())
    assert [change.program for change in changes] == ["api"]
    assert tree.get("/startupz")[0] == 200


def test_an_optional_program_that_fails_takes_nothing_away(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": QUICK, "extra": {"command": ["false"], "required": False, "start_retries": 0}}})
    tree.start().wait_ready()
    trees.wait_until(lambda: tree.program("extra").state == snapshot.FAILED, "extra failed")
    assert tree.get("/ready")[0] == 200


def test_a_reload_is_a_new_generation_that_is_sealed_again(tree: trees.Tree) -> None:
    tree.build(ONE)
    tree.start().wait_ready()
    first = verification.verify(tree.run)
    os.kill(tree.pid, signal.SIGHUP)
    trees.wait_until(lambda: len(tree.events("BootstrapCompleted")) == 2, "sealed again")
    tree.wait_ready()
    second = verification.verify(tree.run)
    assert (second.generation, second.boot_id) == (first.generation + 1, first.boot_id)
    assert tree.stop() == 0


# --- stop signals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_at_any_moment_of_the_boot_ends_it_cleanly(tree: trees.Tree, number: int) -> None:
    tree.build(ONE)
    blocked = ["/usr/bin/env", "--block-signal=TERM,INT,QUIT,HUP", sys.executable, "-I", "-m", "entrypoint", "boot"]
    codes = []
    for step in range(24):
        tree.start(argv=list(blocked))
        time.sleep(0.02 * step)
        assert tree.process is not None
        below = trees.descendants(tree.pid)
        tree.process.send_signal(number)
        code = tree.exit_code()
        codes.append(code)
        assert code in {0, 128 + number, -number}, (step, tree.stderr()[-2000:])
        assert tree.events("BootstrapFailed") == []
        assert not Path(tree.run.seal).exists() or code == 0
        trees.wait_until_gone(below)
    assert 128 + number in codes
    assert codes[-1] == 0


# --- supervisord cannot be had -----------------------------------------------------------------------------------


def bare_environment(tree: trees.Tree) -> Path:
    """Return the interpreter of a virtual environment that has bootseal's code and no supervisor."""
    path = tree.root / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    site = next((path / "lib").glob("python*")) / "site-packages"
    for room in ("contract", "manifest", "artifacts", "entrypoint", "seal"):
        shutil.copytree(Path(__file__).parents[2] / room, site / room, ignore=shutil.ignore_patterns("__pycache__"))
    import cffi
    import cryptography

    for package in (cryptography, cffi):
        source = Path(package.__file__).parent
        (site / source.name).symlink_to(source)
    for extra in Path(cffi.__file__).parent.parent.glob("_cffi_backend*"):
        (site / extra.name).symlink_to(extra)
    return path / "bin/python"


def test_a_missing_supervisor_is_127(tree: trees.Tree) -> None:
    tree.build(ONE)
    python = bare_environment(tree)
    assert tree.start(argv=[str(python), "-I", "-m", "entrypoint", "boot"]).exit_code() == 127
    assert tree.failure()["phase"] == "preflight"


def test_an_interpreter_that_cannot_be_executed_is_126_and_a_missing_one_127(tree: trees.Tree) -> None:
    tree.build(ONE)
    path = tree.plan_directory / "plan.json"
    prefix = tree.root / "prefix"
    (prefix / "bin").mkdir(parents=True)
    path.write_text(json.dumps({**json.loads(path.read_text()), "prefix": str(prefix)}))
    assert tree.start().exit_code() == 127
    (prefix / "bin/python").write_text("no program")
    assert tree.start().exit_code() == 126


def test_wrong_arguments_are_2(tree: trees.Tree) -> None:
    command = [sys.executable, "-I", "-m", "entrypoint", "boot"]
    for arguments in ([], ["--plan"], ["--plan", "x", "--nonsense", "y"]):
        result = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == 2
        assert "usage" in result.stderr


def test_a_manifest_written_by_hand_boots_as_it_is_in_the_readme() -> None:
    """The README's manifest is examples/hello's, to the letter."""
    root = Path(__file__).parents[2]
    text = (root / "examples/hello/bootseal.yaml").read_text()
    assert yaml.safe_load(text)["name"] == "hello"
    assert text.strip() in (root / "README.md").read_text()
