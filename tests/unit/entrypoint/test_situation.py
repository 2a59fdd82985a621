"""What is known of a container: by the probe server's answer, by PID 1's ledger, by the files alone."""

import dataclasses
import errno
import json
import os

import pytest

from contract import boot_record, clock, errors, events, files, process, rundir, snapshot
from entrypoint import asking, history, situation
from tests.unit import boots


def health(**changes):
    """Return the answer of /health of a container that is ready, as the server renders it."""
    value = {
        "status": "ready",
        "phase": "sealed",
        "boot": {
            "id": boots.BOOT_ID,
            "generation": 2,
            "started_at": boots.WALL,
            "sealed_at": boots.WALL,
            "failure": None,
            "warnings": ["w"],
        },
        "programs": snapshot.to_json(boots.ledger(boots.view("api")))["programs"],
        "readiness": {"ready": True, "since": boots.WALL, "requirements": ["api"]},
        "requirements": [
            {
                "id": "/data",
                "kind": "mount",
                "met": True,
                "reason": "",
                "since": boots.WALL,
                "required": True,
                "age_seconds": 0.1,
            }
        ],
    }
    return {**value, **changes}


def unready(*rows):
    return {"ready": False, "reason": "because", "missing": list(rows)}


def test_one_answer_of_the_probe_server_tells_readiness_and_programs():
    found = situation.of_health(
        health(), {"name": "box", "endpoints": {"probes": "127.0.0.1:80"}, "log_level": "debug"}
    )
    assert (found.ready, found.reason, found.since, found.phase, found.generation) == (
        True,
        "",
        boots.WALL,
        "sealed",
        2,
    )
    assert found.programs == (boots.view("api"),)
    assert found.requirements[0].id == "/data" and found.requirements[0].met
    assert (found.name, found.endpoints, found.log_level) == ("box", {"probes": "127.0.0.1:80"}, "debug")


def test_what_another_version_adds_is_passed_over_and_what_lacks_of_it_is_no_answer():
    newer = health()
    newer["programs"][0]["colour"] = "green"
    newer["later"] = {}
    assert situation.of_health(newer).programs == (boots.view("api"),)
    del newer["programs"][0]["state"]
    with pytest.raises(errors.InvalidRecord):
        situation.of_health(newer)


@pytest.mark.parametrize("readiness", [{}, {"ready": "yes"}, {"ready": 1}, None, []])
def test_an_answer_that_does_not_say_ready_is_not_ready(readiness):
    found = situation.of_health(health(readiness=readiness))
    assert found.ready is False and found.reason


def test_an_unready_container_is_so_since_its_first_row():
    row = {"id": "api", "kind": "program", "reason": "exited with code 1", "since": boots.WALL, "required": True}
    found = situation.of_health(health(readiness=unready(row)))
    assert (found.ready, found.since, found.missing[0].id) == (False, boots.WALL, "api")


def test_without_the_probe_server_readiness_is_unknown_whatever_the_ledger_says():
    found = situation.of_ledger(boots.ledger(boots.view("api"), phase=snapshot.SEALED), None, "it does not answer")
    assert found.ready is None and found.reason == "it does not answer" and found.programs


def event(name, boot_id=boots.BOOT_ID, **fields):
    return {"time": boots.WALL, "event": name, "boot_id": boot_id, **fields}


def test_the_files_tell_the_phase_in_which_stage_a_works():
    story = history.last_boot([event("BootstrapStarted", pid=7), event("PhaseStarted", phase="plan"), event("PhaseCompleted", phase="plan"),
                               event("PhaseStarted", phase="artifacts")])  # fmt: skip
    found = situation.of_files(story, is_alive=True, run_directory="/run/x", troubles=())
    assert (found.phase, found.ready, found.reason) == (
        situation.STARTING,
        False,
        "it boots: Stage A is in the phase artifacts",
    )
    assert story.pid == 7


def test_only_the_last_boot_counts_and_its_first_failure_is_the_cause():
    story = history.last_boot(
        [event("BootstrapFailed", "old", phase="plan", cause="old"), event("BootstrapStarted"), event("ProgramFailed", program="redis",
         reason="exited with code 1", last_output=["no"]), event("ProgramFailed", program="api", reason="needs redis, which failed",
         last_output=["waiting"]), event("BootstrapFailed", phase="seal", cause="redis failed"), event("BootstrapFailed", phase="x", cause="y"),
         event("ContainerEnding", cause="later", boot_id=None)]
    )  # fmt: skip
    assert story.failure == "seal: redis failed"
    assert (story.program, story.last_output) == ("redis", ("no",))
    found = situation.of_files(story, is_alive=False, run_directory="/run/x", troubles=())
    assert (found.phase, found.is_alive, found.reason) == (
        situation.ENDED,
        False,
        "the boot failed: seal: redis failed",
    )
    assert found.last_lines == ("no",)


def test_a_pid_1_that_is_gone_without_a_word_is_said_to_be_so():
    found = situation.of_files(
        history.last_boot([event("BootstrapStarted")]), is_alive=False, run_directory="/r", troubles=()
    )
    assert "gone" in found.reason and found.ready is False


def test_a_directory_of_no_boot_is_nobodys(tmp_path):
    found = asking.look(rundir.RunDirectory(str(tmp_path)))
    assert (found.phase, found.told_by, len(found.troubles)) == (situation.ABSENT, situation.NOTHING, 2)
    with pytest.raises(asking.NotThere, match="no boot is known") as raised:
        asking.expect(rundir.RunDirectory(str(tmp_path)), found)
    assert raised.value.exit_code == 6


def test_a_failure_of_an_earlier_boot_is_not_this_ones(tmp_path):
    """Between its claim and its first event a boot stands beside the events of the last one."""
    run = rundir.RunDirectory(str(tmp_path))
    earlier = events.Emitter("stage-a", "e" * 32, run.events, sink=lambda _: True)
    earlier.emit("BootstrapStarted", pid=1)
    earlier.emit("BootstrapFailed", phase="plan", cause="broken")
    assert asking.look(run).failure == "plan: broken"
    rundir.claim(run)  # this process's
    found = asking.look(run)
    assert (found.phase, found.failure, found.is_alive) == (situation.STARTING, "", True)
    assert asking.claimant(run) is not None


def test_a_claim_of_a_pid_that_was_given_away_again_is_nobodys(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    for text in (f"1 {(process.start_time(1) or 0) + 1} x", "x", "", "1 2 3 4", "-1 -1 x"):
        files.write_atomically(run.claim, text.encode(), 0o444)
        assert asking.claimant(run) is None, text


def test_who_may_not_look_is_told_so_and_nothing_of_the_boot(tmp_path, monkeypatch):
    run = rundir.RunDirectory(str(tmp_path))
    rundir.claim(run)

    def refuse(*_arguments, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(asking.journal, "read", refuse)
    found = asking.look(run)
    assert (found.phase, found.told_by, found.ready) == (situation.HIDDEN, situation.NOTHING, None)
    assert found.reason == "it runs and cannot be asked: Permission denied (run it as the container's user or as root)"
    assert len(found.troubles) == 3


def test_events_that_are_no_file_are_a_trouble_and_no_crash(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    (tmp_path / "events.jsonl").symlink_to("/etc/passwd")
    assert len(asking.look(run).troubles) == 3


def test_a_situation_is_a_value():
    one = situation.of_health(health())
    assert one == situation.of_health(health()) and one != dataclasses.replace(one, reason="x")
    assert json.dumps(dataclasses.asdict(one)) and clock.rfc3339()


def test_events_that_cannot_be_read_say_nothing_of_the_boot_that_lives_there(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    rundir.claim(run)
    (tmp_path / "events.jsonl").mkdir()
    found = asking.look(run)
    assert (found.phase, found.ready, found.is_alive) == (situation.HIDDEN, None, True)
    assert "it runs and cannot be asked" in found.reason and "Stage A" not in found.reason


def test_a_sealed_container_that_does_not_answer_is_not_told_to_boot():
    """Its PID 1 and its probe server are stopped, say: whether it is ready nobody can tell."""
    story = history.last_boot(
        [event("BootstrapStarted", pid=1), event("SupervisorStarted"), event("BootstrapCompleted")]
    )
    found = situation.of_files(story, is_alive=True, run_directory="/run/x", troubles=())
    assert (found.phase, found.ready, found.sealed_at) == (snapshot.SEALED, None, boots.WALL)
    assert found.reason == f"it was sealed at {boots.WALL}; PID 1 does not answer"
    unsealed = history.last_boot([event("BootstrapStarted", pid=1), event("SupervisorStarted")])
    found = situation.of_files(unsealed, is_alive=True, run_directory="/run/x", troubles=())
    assert (found.phase, found.ready) == (situation.STARTING, False)
    cut = history.last_boot([event("ProgramReady", program="api")])
    found = situation.of_files(cut, is_alive=True, run_directory="/run/x", troubles=())
    assert found.ready is None and "do not reach back" in found.reason


@pytest.fixture
def claimed(tmp_path):
    """A run directory that this process has just begun to boot in."""
    run = rundir.RunDirectory(str(tmp_path))
    rundir.claim(run)
    return run


def tell(run, boot_id, *names, at=None, **fields):
    with open(run.events, "a") as file:
        file.writelines(
            json.dumps({**event(name, boot_id, **fields), "time": at or clock.rfc3339()}) + "\n" for name in names
        )


LONG_AGO = "2020-01-01T00:00:00.000Z"


@pytest.mark.parametrize("names", [("BootstrapStarted", "BootstrapCompleted"), ("BootstrapCompleted",)])
def test_a_boot_before_that_had_the_same_pid_is_not_this_one(claimed, names):
    """In containers each boot is process 1; and of one whose events were rotated, the pid is not known."""
    tell(claimed, "e" * 32, *names, at=LONG_AGO, pid=os.getpid())
    found = asking.look(claimed)
    assert (found.sealed_at, found.phase, found.is_alive) == (None, situation.STARTING, True)
    tell(claimed, "e" * 32, "BootstrapFailed", at=LONG_AGO, phase="plan", cause="broken")
    assert asking.look(claimed).failure == ""
    tell(claimed, "f" * 32, "BootstrapStarted", "BootstrapCompleted", pid=os.getpid())
    assert asking.look(claimed).sealed_at


def test_the_boot_record_says_whose_the_events_are(claimed):
    record = dataclasses.replace(boots.boot(), pid1=os.getpid(), pid1_start=process.start_time(), boot_id="f" * 32)
    boot_record.write(claimed, record)
    tell(claimed, "f" * 32, "BootstrapCompleted", at=LONG_AGO)
    assert asking.look(claimed).sealed_at, "a clock that was set meanwhile does not matter then"
    tell(claimed, "e" * 32, "BootstrapFailed", phase="plan", cause="broken")
    assert asking.look(claimed).failure == ""


def test_a_claim_of_another_boot_of_the_machine_is_nobodys(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    rundir.claim(run)
    with open(run.claim) as file:
        mine = file.read()
    assert asking.claimant(run) == rundir.Holder(os.getpid(), process.start_time())
    files.write_atomically(run.claim, f"{mine.rpartition(' ')[0]} {'0' * 36}\n".encode(), 0o444)
    assert asking.claimant(run) is None


def test_who_has_less_time_asks_for_less(tmp_path, monkeypatch):
    given = []

    def refuse(*_arguments, timeout_seconds):
        given.append(timeout_seconds)
        raise asking.NotThere("x", "no")

    monkeypatch.setattr(asking, "probe", refuse)
    monkeypatch.setattr(asking, "ledger", lambda run, seconds: refuse(run, timeout_seconds=seconds))
    run = rundir.RunDirectory(str(tmp_path))
    asking.look(run, timeout_seconds=2.0)
    assert given[0] == pytest.approx(1.0, abs=0.5) and given[1] <= 2.0
    given.clear()
    asking.look(run, timeout_seconds=0.0)
    assert given == [asking.LEAST_SECONDS] * 2
    given.clear()
    asking.look(run)
    assert given == [asking.ASK_SECONDS] * 2


@pytest.mark.parametrize(
    "changes",
    [{"phase": "\ud800"}, {"phase": "elsewhere"}, {"boot": {"sealed_at": "\ud800"}}, {"boot": {"started_at": "soon"}},
     {"readiness": {"ready": False, "since": "\x1b[2J"}}],
)  # fmt: skip
def test_a_phase_or_time_that_is_none_is_no_answer(changes):
    with pytest.raises(errors.InvalidRecord):
        situation.of_health(health(**changes))


@pytest.mark.parametrize("phase", [None, "booting", "sealed", "held", "stopping"])
def test_each_phase_of_the_ledger_is_one(phase):
    assert situation.of_health(health(phase=phase)).phase == (phase or situation.STARTING)


def test_a_ledger_that_the_server_concludes_nothing_from_is_told_with_its_age():
    old = situation.of_health(health(ledger={"age_seconds": 30.0, "fresh": False}))
    assert old.unconfirmed_seconds == 30.0
    assert situation.of_health(health(ledger={"age_seconds": 0.1, "fresh": True})).unconfirmed_seconds is None
    assert situation.of_health(health()).unconfirmed_seconds is None
    assert old == dataclasses.replace(old, unconfirmed_seconds=31.0), "that it grows older is no change to be told"
