"""What is known of a container: by the probe server's answer, by PID 1's ledger, by the files alone."""

import dataclasses
import json

import pytest

from contract import clock, errors, events, files, process, rundir, snapshot
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


def test_events_that_are_no_file_are_a_trouble_and_no_crash(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    (tmp_path / "events.jsonl").symlink_to("/etc/passwd")
    assert len(asking.look(run).troubles) == 3


def test_a_situation_is_a_value():
    one = situation.of_health(health())
    assert one == situation.of_health(health()) and one != dataclasses.replace(one, reason="x")
    assert json.dumps(dataclasses.asdict(one)) and clock.rfc3339()
