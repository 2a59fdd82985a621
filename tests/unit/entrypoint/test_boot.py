import dataclasses
import json
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import boot_record, errors, rundir, termination
from entrypoint import boot, stage_a, stop
from manifest import plan
from tests.unit import boots, children


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [
        (["--plan", "/p"], ("/p", rundir.DEFAULT)),
        (["--plan=/p", "--run-dir=/r/"], ("/p", "/r")),
        (["--run-dir", "/r/./x", "--plan", "p"], ("p", "/r/x")),
        (["--plan=a=b"], ("a=b", rundir.DEFAULT)),
        (["--plan", "--odd"], ("--odd", rundir.DEFAULT)),
    ],
)
def test_arguments_are_read(arguments, parsed):
    assert boot.parse(arguments) == parsed


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "--plan DIR is missing"),
        (["--run-dir", "/r"], "--plan DIR is missing"),
        (["--plan"], "--plan needs a directory"),
        (["--plan="], "--plan needs a directory"),
        (["--plan", ""], "--plan needs a directory"),
        (["--plan", "/p", "--run-dir="], "--run-dir needs a directory"),
        (["/p"], "/p is no option"),
        (["--plan", "/p", "more"], "more is no option"),
        (["--pla", "/p"], "--pla is no option"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, why):
    with pytest.raises(boot.UsageError, match=why):
        boot.parse(arguments)


@given(
    st.lists(st.sampled_from(["--plan", "--run-dir", "--plan=", "=", "x", "", "--"]) | st.text(max_size=4), max_size=5)
)
def test_any_arguments_are_read_or_refused_and_nothing_else(arguments):
    try:
        assert all(isinstance(value, str) and value for value in boot.parse(arguments))
    except boot.UsageError as error:
        assert str(error)


def test_wrong_arguments_are_2_and_help_is_0(capsys):
    assert boot.main(["--wrong"]) == 2
    assert "usage: bootseal boot" in capsys.readouterr().err
    assert boot.main(["--help"]) == 0
    assert boot.main(["--plan", "x", "-h"]) == 0
    assert "/run/bootseal" in capsys.readouterr().out


def run_boot(tmp_path, *, plan_directory: str | None = None) -> tuple[int, list[dict]]:
    """Run ``bootseal boot`` as it is run in a container, and return its code and events."""
    folder = plan_directory or f"{tmp_path}/plan"
    done = subprocess.run(
        [sys.executable, "-m", "entrypoint", "boot", "--plan", folder, "--run-dir", f"{tmp_path}/run"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


def write_plan(tmp_path, the_plan: plan.Plan) -> None:
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "plan.json").write_bytes(plan.dump(the_plan))


def test_an_earlier_seal_is_gone_whatever_fails_after_it(tmp_path):
    container = boots.container(f"{tmp_path}/run")
    container.seal()
    boot_record.write(container.run, dataclasses.replace(container.record, pid1_start=1))  # its PID 1 is gone
    code, told = run_boot(tmp_path)
    assert code == 6
    assert not os.path.exists(container.run.seal)
    assert [(line["event"], line.get("phase")) for line in told] == [
        ("BootstrapStarted", None), ("PhaseStarted", "run-directory"), ("PhaseCompleted", "run-directory"),
        ("PhaseStarted", "plan"), ("BootstrapFailed", "plan"),
    ]  # fmt: skip
    assert "No such file or directory" in told[-1]["cause"]
    with open(container.run.events, encoding="utf-8") as file:
        assert [json.loads(line) for line in file] == told


def test_a_run_directory_that_is_not_ours_alone_ends_the_boot_first(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    code, told = run_boot(tmp_path)
    assert (code, told[-1]["phase"]) == (6, "run-directory")
    assert os.listdir(tmp_path / "run") == []


def test_a_plan_for_another_run_directory_is_refused_with_both_names(tmp_path):
    write_plan(tmp_path, boots.make_plan(run_directory="/run/elsewhere"))
    code, told = run_boot(tmp_path)
    assert code == 6
    assert "/run/elsewhere" in told[-1]["cause"]
    assert f"{tmp_path}/run" in told[-1]["cause"]


def test_every_missing_artifact_is_told_before_the_boot_fails(tmp_path):
    write_plan(
        tmp_path,
        boots.make_plan(
            run_directory=f"{tmp_path}/run",
            artifacts=(
                plan.ArtifactPlan("a", f"{tmp_path}/a", True), plan.ArtifactPlan("here", str(tmp_path), True),
                plan.ArtifactPlan("b", f"{tmp_path}/b", True), plan.ArtifactPlan("c", f"{tmp_path}/c", False),
            ),
        ),
    )  # fmt: skip
    code, told = run_boot(tmp_path)
    assert code == 6
    assert [(line["event"], line["capability"]) for line in told if "capability" in line] == [
        ("MissingArtifactDetected", "a"), ("CapabilityValidated", "here"), ("MissingArtifactDetected", "b"),
        ("OptionalArtifactMissing", "c"),
    ]  # fmt: skip
    assert (told[-1]["phase"], told[-1]["cause"].split(":")[0]) == ("artifacts", "required artifacts a, b")
    assert told[-1]["cause"].endswith(" (install it, or correct its path)"), "one remedy, once"


def test_a_writable_immutable_root_fails_a_strict_boot_and_warns_a_lenient_one(tmp_path):
    for strict, phase in ((True, "immutable-root"), (False, "preflight")):
        case = tmp_path / str(strict)
        (case / "opt").mkdir(parents=True)
        write_plan(
            case,
            boots.make_plan(
                run_directory=f"{case}/run", boot=boots.boot_plan(immutable=(f"{case}/opt",), strict=strict)
            ),
        )
        code, told = run_boot(case)
        assert (code, told[-1]["phase"]) == (6, phase)
        assert ("ImmutableRootWritable" in [line["event"] for line in told]) is not strict


def test_nothing_is_written_but_in_the_run_directory_and_the_writable_roots(tmp_path):
    (tmp_path / "plan").mkdir()
    the_plan = boots.make_plan(
        run_directory=f"{tmp_path}/run",
        boot=boots.boot_plan(writable=(plan.WritableRoot(f"{tmp_path}/w", 0o750, None, False),)),
    )
    (tmp_path / "plan" / "plan.json").write_bytes(plan.dump(the_plan))
    code, told = run_boot(tmp_path)
    assert (code, told[-1]["phase"]) == (6, "preflight")
    assert sorted(os.listdir(tmp_path)) == ["plan", "run", "w"]
    assert os.listdir(tmp_path / "plan") == ["plan.json"]
    assert sorted(os.listdir(tmp_path / "run")) == ["boot.claim", "events.jsonl", "identity", "keys", "tmp"]


def test_a_stop_that_a_failure_hides_is_still_a_stop(tmp_path, monkeypatch):
    """Clean-up code that is interrupted may raise its own error in the stop's place."""

    def interrupted(_self) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except stop.Stopped:
            os.close(-1)

    def work() -> bool:
        log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 2)
        monkeypatch.setattr(stage_a.StageA, "load_plan", interrupted)
        stop.arm()
        return boot.main(["--plan", str(tmp_path), "--run-dir", f"{tmp_path}/run"]) == 128 + signal.SIGTERM

    assert children.run(work) == 0
    assert "BootstrapFailed" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(("error", "words"), [(rundir.Taken("a", "b"), 0), (errors.UnsafePath("a", "b"), 1)])
def test_a_refused_second_boot_leaves_the_termination_log_to_the_first(tmp_path, monkeypatch, error, words):
    def refuse(_self) -> None:
        raise error

    def work() -> bool:
        said: list[str] = []
        monkeypatch.setattr(termination, "write", said.append)
        monkeypatch.setattr(stage_a.StageA, "open_run_directory", refuse)
        code = boot.main(["--plan", str(tmp_path), "--run-dir", f"{tmp_path}/run"])
        return (code, len(said)) == (6, words)

    assert children.run(work) == 0
