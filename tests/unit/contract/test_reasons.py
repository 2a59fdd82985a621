"""What PID 1 says and what its readers understand are one thing."""

import dataclasses

from contract import reasons, snapshot
from entrypoint import history
from manifest import plan
from supervisord import entries, ledger, verdicts
from tests.unit import boots

NOW = entries.Moment(1.0, boots.WALL)


def test_who_is_held_up_names_by_whom_and_nothing_else_is_taken_for_a_name():
    assert reasons.holding(reasons.waits_for(["a", "b-2"])) == ("a", "b-2")
    assert reasons.holding(reasons.needs("redis", "exited with code 1")) == ("redis",)
    for own in ("exited with code 1", "waits for a reply from /x", "needs more", reasons.STOPPED, ""):
        assert reasons.holding(own) == (), own


def test_the_readers_understand_what_the_ledger_says_whatever_its_words():
    redis = ledger.first_entry(boots.program("redis"), NOW)
    _, reason, _ = ledger.obstacle({"redis": plan.READY}, {"redis": redis})
    assert reasons.holding(reason) == ("redis",)
    failed = ledger.held(redis, snapshot.FAILED, "exited with code 1", NOW, final=True)
    for known in ({"redis": failed}, {}):
        _, reason, final = ledger.obstacle({"redis": plan.READY}, known)
        assert final and reasons.holding(reason) == ("redis",)
        event = {"event": "ProgramFailed", "boot_id": "b", "program": "api", "reason": reason}
        assert history.last_boot([event]).program == "", "it only needed another"


def test_a_program_that_was_stopped_is_said_to_be_so_in_the_word_that_is_looked_for():
    entry = ledger.on_supervisor_state(ledger.first_entry(boots.program("api"), NOW), entries.STOPPED, NOW)
    assert verdicts.of(dataclasses.replace(entry, spawns=1), 2.0).reason == reasons.STOPPED


def test_the_last_words_go_on_and_come_off():
    told = reasons.with_last_output("program api is FATAL", ["one", "two"])
    assert told == "program api is FATAL; its last output: one | two"
    assert reasons.without_last_output(told) == "program api is FATAL"
    assert reasons.with_last_output("x", []) == reasons.without_last_output("x") == "x"
