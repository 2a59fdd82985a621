import dataclasses
import os
import shlex
import shutil
import stat
import subprocess

import pytest

from contract import boot_record, errors, files, identity, rundir
from entrypoint import stage_b
from manifest import plan
from tests.unit import boots


@pytest.fixture
def container(tmp_path, monkeypatch) -> boots.Container:
    """A booted container whose plan is on disk, seen with the environment of a supervised program."""
    folder = tmp_path / "plan"
    folder.mkdir()
    (tmp_path / "writable").mkdir()
    the_plan = boots.make_plan(
        boots.program("api", argv=("true",)),
        boot=boots.boot_plan(writable=(plan.WritableRoot(f"{tmp_path}/writable", 0o755, None, False),), environment=("DECLARED",)),
        artifacts=(plan.ArtifactPlan("tree", str(folder), True), plan.ArtifactPlan("gone", "/no/such/thing", False)),
    )  # fmt: skip
    (folder / "plan.json").write_bytes(plan.dump(the_plan))
    made = boots.container(f"{tmp_path}/run", plan_directory=str(folder))
    book(made)
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in {
        "PATH": "/usr/bin:/bin", "LC_ALL": "C", "DECLARED": "1", "SUPERVISOR_PROCESS_NAME": "bootstrap",
        "SUPERVISOR_GROUP_NAME": "bootstrap", "BOOTSEAL_RUN_DIR": made.run.path,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return made


def run(container: boots.Container) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_CURRENT_TEST", raising=False)  # pytest puts it there after every fixture
        return stage_b.main(["--run-dir", container.run.path])


def rewrite(container: boots.Container, **changes) -> None:
    path = f"{container.record.plan_directory}/plan.json"
    with open(path, "rb") as file:
        the_plan = plan.parse(file.read(), "plan")
    with open(path, "wb") as file:
        file.write(plan.dump(dataclasses.replace(the_plan, **changes)))
    book(container)


def book(container: boots.Container) -> None:
    """Write into the boot record, as Stage A does, which plan there is."""
    loaded = plan.load(container.record.plan_directory)
    boot_record.write(container.run, dataclasses.replace(container.record, plan_sha256=loaded.sha256))


def test_when_everything_is_right_it_exits_0_silently_and_writes_the_hints(container, capsys):
    assert run(container) == 0
    assert capsys.readouterr() == ("", "")
    assert stat.S_IMODE(os.stat(container.run.hints).st_mode) == 0o444
    assert os.listdir(os.path.dirname(container.record.plan_directory) + "/writable") == []


def test_a_plan_that_changed_after_stage_a_read_it_is_a_failure(container, capsys):
    with open(f"{container.record.plan_directory}/plan.json", "ab") as file:
        file.write(b"\n")
    assert run(container) == 6
    assert "changed after Stage A" in capsys.readouterr().err
    assert not os.path.exists(container.run.hints)


@pytest.mark.parametrize("arguments", [[], ["--run-dir"], ["--plan", "x"], ["--run-dir", "x", "y"]])
def test_wrong_arguments_are_2(arguments, capsys):
    assert stage_b.main(arguments) == 2
    assert "usage" in capsys.readouterr().err


def test_every_failure_is_printed_and_the_hints_are_not_written(container, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET", "hunter2")
    shutil.rmtree(tmp_path / "writable")
    os.unlink(f"{container.run.identity}/id")
    rewrite(container, programs=(*boots.own_programs(), boots.program("api", argv=("no-such-program",))))
    assert run(container) == 6
    printed = capsys.readouterr().err
    assert "hunter2" not in printed
    assert [line.split(": ")[1] for line in printed.splitlines()] == [
        "variable SECRET", f"identity {container.run.identity}/id", f"writable root {tmp_path}/writable", "program api",
    ]  # fmt: skip
    assert not os.path.exists(container.run.hints)


@pytest.mark.parametrize("damage", ["missing", "garbage", "no plan"])
def test_without_a_boot_record_or_plan_nothing_is_right(container, capsys, damage):
    if damage == "missing":
        os.unlink(container.run.boot_record)
    elif damage == "garbage":
        files.write_atomically(container.run.boot_record, b"{}", 0o444)
    else:
        os.unlink(f"{container.record.plan_directory}/plan.json")
    assert run(container) == 6
    assert capsys.readouterr().err.startswith("stage-b: ")
    assert not os.path.exists(container.run.hints)


@pytest.mark.parametrize("name", ["PYTHONPATH", "LD_PRELOAD", "TMPDIR", "SUPERVISOR_SERVER_URL", "lc_all"])
def test_a_variable_that_is_not_allowed_is_named(container, name):
    the_plan = boots.make_plan()
    [problem] = stage_b.check_environment({"PATH": "/bin", name: "value-of-it"}, the_plan)
    assert problem.what == f"variable {name}"
    assert "value-of-it" not in str(problem)


def test_the_environment_of_stage_b_in_the_plan_is_allowed():
    probes, stage, seal = boots.own_programs()
    the_plan = boots.make_plan(
        programs=(probes, dataclasses.replace(stage, environment={"X": "1"}), seal, boots.program("a"))
    )
    assert list(stage_b.check_environment({"X": "1", "LC_X": "2"}, the_plan)) == []


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("id", b"", "not a DNS-1123 label"),
        ("id", b"box\n", "not a DNS-1123 label"),
        ("boot-id", b"f" * 32, "another boot's"),
        ("boot-id", b"\xff", "not ASCII"),
        ("ed25519.pub", b"-----BEGIN PRIVATE KEY-----", "not a PEM public Ed25519 key"),
        ("ed25519.pub", identity.encode_ed25519(b"k" * 32), "not the key that this boot began with"),
        ("npub", b"npub1", "not npub1"),
        ("ed25519.pub", b"x" * 5000, "more than"),
    ],
)
def test_an_identity_that_is_not_this_boots_is_found(container, name, content, why):
    files.write_atomically(f"{container.run.identity}/{name}", content, 0o444)
    [problem] = stage_b.check_identity(container.run, container.record)
    assert why in problem.why


def test_a_symlink_in_the_identity_is_not_followed(container):
    os.unlink(f"{container.run.identity}/id")
    os.symlink("/etc/hostname", f"{container.run.identity}/id")
    [problem] = stage_b.check_identity(container.run, container.record)
    assert "symbolic links" in problem.why


def test_a_writable_root_that_is_not_is_found_and_what_a_killed_run_left_does_not_matter(tmp_path, monkeypatch):
    the_plan = boots.make_plan(boot=boots.boot_plan(writable=(plan.WritableRoot(str(tmp_path), 0o755, None, False),)))
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", lambda *_arguments, **_keywords: None)
        assert list(stage_b.check_writable_roots(the_plan)) == []
    assert len(os.listdir(tmp_path)) == 1
    assert list(stage_b.check_writable_roots(the_plan)) == []
    gone = boots.make_plan(boot=boots.boot_plan(writable=(plan.WritableRoot(f"{tmp_path}/none", 0o755, None, False),)))
    [problem] = stage_b.check_writable_roots(gone)
    assert problem.why == "No such file or directory"


def test_commands_and_required_artifacts_must_be_usable_where_the_programs_run(tmp_path):
    (tmp_path / "tool").write_text("x")
    (tmp_path / "tool").chmod(0o644)
    tool = str(tmp_path / "tool")
    the_plan = boots.make_plan(
        boots.program("a", argv=(tool,)),
        boots.program("b", argv=("no-such-program",)),
        boots.program("optional", argv=("/no/such",), required=False),
        boots.program("good", argv=("true",)),
        artifacts=(plan.ArtifactPlan("tool", tool, True), plan.ArtifactPlan("x", "/none", False), plan.ArtifactPlan("y", "/none", True)),
    )  # fmt: skip
    problems = [str(problem) for problem in stage_b.check_executables(the_plan, "/usr/bin:/bin")]
    assert problems == [
        f"artifact tool: {tool} is not executable here (rebuild the image)",
        "artifact y: /none is not readable here (rebuild the image)",
        f"program a: {tool} is not an executable file (correct `command:` or the image)",
        "program b: no-such-program is not an executable file on PATH /usr/bin:/bin (correct `command:` or the image)",
    ]


def test_the_hints_are_shell_assignments_whatever_the_values_are():
    the_plan = boots.make_plan(
        name="it's $(touch x)", probes=boots.listening(host="::", port=1, metrics_host="::1", metrics_port=9)
    )
    run_directory = rundir.RunDirectory("/run/with space")
    text = stage_b.hints(the_plan, run_directory)
    script = text + 'printf "%s|" "$BOOTSEAL_NAME" "$BOOTSEAL_RUN_DIR" "$BOOTSEAL_PROBES_URL" "$BOOTSEAL_METRICS_URL"'
    done = subprocess.run(["/bin/sh", "-eu", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "it's $(touch x)|/run/with space|http://127.0.0.1:1|http://[::1]:9/metrics|"
    assert len(shlex.split(text)) == 8


def test_without_a_metrics_port_there_is_no_metrics_hint():
    assert "METRICS" not in stage_b.hints(boots.make_plan(), rundir.RunDirectory("/run/x"))


def test_hints_that_cannot_be_written_are_a_failure(container, capsys):
    os.makedirs(f"{container.run.hints}/inner")
    assert run(container) == 6
    assert "hints file" in capsys.readouterr().err
    with pytest.raises(errors.UnsafePath):
        files.read_bounded(container.run.hints, 10)
