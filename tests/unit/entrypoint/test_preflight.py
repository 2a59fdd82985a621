import dataclasses
import hashlib
import os
import resource
import sys

import pytest
from supervisor import options as supervisor_options

from contract import errors, rundir
from entrypoint import phases, preflight
from manifest import plan
from tests.unit import boots, children

CONFIG = b"[supervisord]\nnodaemon=true\n"


@pytest.fixture
def run(tmp_path) -> rundir.RunDirectory:
    return rundir.RunDirectory(str(tmp_path))


@pytest.fixture
def loaded(tmp_path) -> plan.LoadedPlan:
    """A plan whose configuration is there and whose interpreter is this one."""
    (tmp_path / "supervisord.conf").write_bytes(CONFIG)
    (tmp_path / "bin").mkdir()
    os.symlink(sys.executable, tmp_path / "bin" / "python")
    the_plan = boots.make_plan(
        config_sha256=hashlib.sha256(CONFIG).hexdigest(), prefix=str(tmp_path), proven_with=supervisor_options.VERSION
    )
    return plan.LoadedPlan(the_plan, str(tmp_path), boots.SHA256)


def unproven(loaded: plan.LoadedPlan) -> plan.LoadedPlan:
    return dataclasses.replace(loaded, plan=dataclasses.replace(loaded.plan, proven_with=None))


def fake_interpreter(loaded: plan.LoadedPlan, script: str, mode: int = 0o755) -> None:
    path = f"{loaded.plan.prefix}/bin/python"
    os.unlink(path)
    with open(path, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\n{script}\n")
    os.chmod(path, mode)


def test_the_version_is_read_without_importing_supervisor():
    assert preflight.supervisor_version() == supervisor_options.VERSION


def test_what_the_build_proved_with_the_same_supervisor_is_believed(loaded, run):
    fake_interpreter(loaded, "exit 1")
    assert preflight.check(loaded, run) == f"accepted at build time by supervisor {supervisor_options.VERSION}"


@pytest.mark.parametrize("proven_with", [None, "0.0.1"])
def test_what_another_supervisor_proved_is_asked_again(loaded, run, proven_with):
    loaded = dataclasses.replace(loaded, plan=dataclasses.replace(loaded.plan, proven_with=proven_with))
    fake_interpreter(loaded, "echo 9.9")
    assert preflight.check(loaded, run) == "accepted now by supervisor 9.9"


def test_the_question_carries_the_configuration_and_no_environment(loaded, run, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    fake_interpreter(loaded, f'echo "$@" > {tmp_path}/asked; /usr/bin/env > {tmp_path}/environment; echo 1')
    preflight.check(unproven(loaded), run)
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:3] == ["-I", "-X", "utf8"]
    assert asked[-1] == f"{tmp_path}/supervisord.conf"
    assert "hunter2" not in (tmp_path / "environment").read_text()


def test_a_configuration_that_supervisor_refuses_fails_with_its_words(loaded, run):
    fake_interpreter(loaded, "echo 'Error: priority is wrong' >&2; exit 2")
    with pytest.raises(errors.BootsealError, match="Error: priority is wrong"):
        preflight.check(unproven(loaded), run)


def test_a_refusal_without_words_still_has_a_cause_and_a_long_one_stays_short(loaded, run):
    fake_interpreter(loaded, "exit 3")
    with pytest.raises(errors.BootsealError, match="exit 3"):
        preflight.check(unproven(loaded), run)
    fake_interpreter(loaded, "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 3")
    with pytest.raises(errors.BootsealError) as caught:
        preflight.check(unproven(loaded), run)
    assert len(str(caught.value)) < 1500


def test_a_question_without_answer_fails_in_time(loaded, run, monkeypatch):
    monkeypatch.setattr(preflight, "_CHILD_SECONDS", 0.05)
    fake_interpreter(loaded, "exec sleep 600")
    with pytest.raises(errors.BootsealError, match=r"did not end within 0\.05 s"):
        preflight.check(unproven(loaded), run)


def test_a_missing_supervisor_is_127(loaded, run, monkeypatch):
    fake_interpreter(loaded, "echo 'no module supervisor' >&2; exit 127")
    with pytest.raises(phases.CannotHandOver, match="no module supervisor") as caught:
        preflight.check(unproven(loaded), run)
    assert caught.value.exit_code == 127
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(phases.CannotHandOver, match="not installed") as caught:
        preflight.check(loaded, run)
    assert caught.value.exit_code == 127


def test_a_configuration_that_is_not_the_plans_is_refused_byte_for_byte(loaded, run, tmp_path):
    for data in (CONFIG + b"\n", CONFIG[:-1], b""):
        (tmp_path / "supervisord.conf").write_bytes(data)
        with pytest.raises(errors.InvalidRecord, match="not the one this plan was built with"):
            preflight.check(loaded, run)
    os.unlink(tmp_path / "supervisord.conf")
    with pytest.raises(FileNotFoundError):
        preflight.check(loaded, run)
    os.symlink("/etc/passwd", tmp_path / "supervisord.conf")
    with pytest.raises(OSError, match="symbolic links"):
        preflight.check(loaded, run)


def test_an_interpreter_that_is_not_there_is_127_and_one_that_is_no_program_126(loaded, run):
    fake_interpreter(loaded, "", mode=0o644)
    with pytest.raises(phases.CannotHandOver, match="not executable") as caught:
        preflight.check(loaded, run)
    assert caught.value.exit_code == 126
    os.unlink(f"{loaded.plan.prefix}/bin/python")
    with pytest.raises(phases.CannotHandOver, match="does not exist") as caught:
        preflight.check(loaded, run)
    assert caught.value.exit_code == 127


def test_too_few_descriptors_are_found_before_supervisord_finds_them(loaded, run):
    def work() -> bool:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        try:
            preflight.check(loaded, run)
        except errors.BootsealError as error:
            return error.what == "open files"
        return False

    assert children.run(work) == 0
