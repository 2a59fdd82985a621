"""Each fault before the hand-over with its exact outcome: the event, the exit code, and the earlier seal gone."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tree as trees
import yaml

QUICK = trees.QUICK
ONE = trees.ONE


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
    seal = trees.plant_earlier_seal(tree)
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


def test_a_group_writable_run_directory_is_refused(tree: trees.Tree) -> None:
    tree.build(ONE)
    trees.plant_earlier_seal(tree)
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
    trees.plant_earlier_seal(tree).unlink()
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


def test_a_second_boot_while_the_first_is_in_stage_a_is_refused_and_changes_nothing(tree: trees.Tree) -> None:
    gate = tree.root / "gate"
    os.mkfifo(gate)
    gate.chmod(0o666)
    check = {"exec": ["sh", "-c", f"read line < {gate}"], "timeout": "60s"}
    artifact = {"path": "/bin/sh", "check": check}
    tree.build({"artifacts": {"x": artifact}, "programs": {"api": {**QUICK, "artifacts": ["x"]}}})
    tree.start()
    with gate.open("w") as opened:  # as soon as the check runs
        first, path = tree.process, Path(tree.run.path)
        kept = {one: one.read_bytes() for one in path.glob("[!e]*/*")} | {
            path: b"".join(sorted(map(bytes, path.iterdir())))
        }
        assert tree.start().exit_code() == 6
        assert first is not None
        assert f"process {first.pid}, which runs" in tree.failure()["cause"]
        assert kept == {one: one.read_bytes() for one in path.glob("[!e]*/*")} | {
            path: b"".join(sorted(map(bytes, path.iterdir())))
        }
        tree.process = first
        opened.write("go\n")
    tree.wait_ready()


@pytest.mark.parametrize("what", ["keys", "identity", "npub", "seal", "statement"])
def test_what_an_earlier_boot_left_in_odd_shape_stops_no_later_one(tree: trees.Tree, what: str) -> None:
    tree.build(ONE)
    tree.start().wait_ready()
    tree.stop()
    match what:
        case "keys" | "identity":
            os.chmod(f"{tree.run.path}/{what}", 0)
        case "npub":
            _plant_directory(tree, f"{tree.run.identity}/npub")
        case _:
            _plant_directory(tree, tree.run.seal if what == "seal" else tree.run.attestation)
    tree.start().wait_ready()
    assert sorted(os.listdir(tree.run.identity)) == ["boot-id", "ed25519.pub", "id"]
    assert os.listdir(tree.run.keys) == ["ed25519.key"]
    assert os.path.isfile(tree.run.seal) and os.path.isfile(tree.run.attestation)


def _plant_directory(tree: trees.Tree, path: str) -> None:
    Path(path).unlink(missing_ok=True)
    owner = os.stat(tree.run.path)
    for one in (path, f"{path}/inner"):
        os.mkdir(one)
        os.chown(one, owner.st_uid, owner.st_gid)


def test_a_name_that_is_no_text_in_a_root_that_may_be_writable_stops_no_boot(tree: trees.Tree) -> None:
    app = tree.root / "app"
    app.mkdir()
    bad = os.fsencode(app) + b"/bad\xff"
    with open(bad, "wb"):
        os.chmod(bad, 0o666)
    tree.build({"boot": {"immutable": [str(app)], "strict": False}, **ONE})
    tree.start().wait_ready()
    assert r"/bad\xff can be written" in tree.events("ImmutableRootWritable")[0]["reason"]


def test_what_cannot_be_replaced_by_supervisors_socket_ends_the_boot(tree: trees.Tree) -> None:
    tree.build(ONE)
    trees.plant_earlier_seal(tree)
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
