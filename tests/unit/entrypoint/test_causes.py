"""Why is it not ready: who only waits is no cause, and the chain ends at who is."""

import dataclasses

from contract import reasons, snapshot
from entrypoint import causes, presenting, situation, status_text, why_text
from supervisord import entries, ledger
from tests.unit import boots

NOW = presenting.moment(boots.WALL) + 12.0
LOOK = status_text.Look(NOW)


def waiting(name, *others, **changes):
    return boots.view(name, state=snapshot.PENDING, reason=f"waits for {', '.join(others)}", ready_by=None, **changes)


def failed(name, reason="exited with code 1", **changes):
    return boots.view(name, state=snapshot.FAILED, reason=reason, ready_by=None, **changes)


def found(*views, missing=None, **changes):
    rows = (
        missing if missing is not None else [one.name for one in views if one.required and one.state != snapshot.READY]
    )
    made = situation.Situation(
        told_by=situation.PROBES, phase=snapshot.SEALED, ready=not rows, reason="because" if rows else "", since=boots.WALL,
        missing=tuple(_row(row, views) for row in rows), programs=views,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def _row(row, views):
    if isinstance(row, situation.Missing):
        return row
    view = next(one for one in views if one.name == row)
    return situation.Missing(row, "program", view.reason, view.since, True)


def test_ready_has_no_cause():
    assert causes.first(found(boots.view("api"))) is None
    assert why_text.lines(found(boots.view("api")), LOOK) == ["ready for 12s"]


def test_the_end_of_the_chain_is_the_cause_though_nobody_requires_it():
    redis = failed("redis", last_output=("one", "two"), required=False)
    cause = causes.first(found(waiting("web", "api"), waiting("api", "redis"), redis))
    assert cause.chain == ("web", "api", "redis")
    assert cause.sentence == "redis exited with code 1 (web waits for api, api waits for redis)"
    assert cause.lines == ("one", "two")


def test_of_several_that_are_waited_for_the_one_that_failed_is_the_cause():
    views = (
        waiting("api", "slow", "redis"),
        boots.view("slow", state=snapshot.PENDING, reason="must stay up"),
        failed("redis"),
    )
    assert causes.first(found(*views)).id == "redis"


def test_who_waits_for_what_is_ready_is_told_by_its_own_reason():
    assert causes.first(found(waiting("api", "redis"), boots.view("redis"))).sentence == "api waits for redis"


def test_a_circle_and_an_unknown_name_end_the_chain():
    assert causes.first(found(waiting("a", "b"), waiting("b", "a"))).chain == ("a", "b")
    assert causes.first(found(waiting("a", "gone"))).chain == ("a",)


def test_a_long_chain_is_followed_to_its_end():
    views = [waiting(f"p{number}", f"p{number + 1}") for number in range(500)]
    assert causes.first(found(*views, failed("p500"))).id == "p500"


def test_the_words_of_the_ledger_are_understood():
    """The two texts that a chain is read from are made by ``supervisord.ledger``."""
    entry = ledger.first_entry(boots.program("redis"), entries.Moment(0.0, boots.WALL))
    state, reason, _ = ledger.obstacle({"redis": "ready"}, {"redis": entry})
    view = boots.view("api", state=state, reason=reason)
    assert reasons.holding(view.reason) == ("redis",)
    assert reasons.holding("needs redis, which needs db, which is gone") == ("redis",)
    assert reasons.holding("waits for a, b-2") == ("a", "b-2")
    assert reasons.holding("waits for nothing at all") == ()


def test_what_is_no_program_is_told_by_its_row():
    row = situation.Missing("/data", "mount", "1 MiB is free, 100 MiB must be", boots.WALL, True)
    cause = causes.first(found(boots.view("api"), missing=[row]))
    assert (cause.sentence, cause.kind, cause.id) == (f"mount /data: {row.reason}", "mount", "/data")


def test_a_boot_that_is_held_is_told_by_the_program_that_failed_it():
    redis = failed("redis", "is FATAL after 4 tries", last_output=("no",))
    row = situation.Missing("boot", "boot", "the boot failed and is held for debugging: …", boots.WALL, True)
    held = found(
        redis, missing=[row], phase=snapshot.HELD, failure="program redis is FATAL after 4 tries; its last output: no"
    )
    cause = causes.first(held)
    assert cause.sentence == "the boot failed and is held: redis is FATAL after 4 tries"
    assert cause.lines == ("no",)
    other = dataclasses.replace(held, failure="not ready within 60 s: api must stay up")
    assert causes.first(other).sentence == row.reason, "a failure that names no such program is told as it is"
    near = dataclasses.replace(held, failure="program xredis is FATAL after 4 tries")
    assert causes.first(near).sentence == row.reason


def test_without_the_probe_server_the_ledgers_cause_is_told_and_readiness_is_unknown():
    view = failed("redis")
    told = situation.of_ledger(boots.ledger(waiting("api", "redis"), view), None, "the probe server does not answer")
    lines = why_text.lines(told, LOOK)
    assert lines[0] == "readiness unknown: the probe server does not answer"
    assert lines[1] == "  PID 1 says: redis exited with code 1"


def test_all_rows_are_told_each_programs_last_words_once():
    views = (waiting("web", "api"), waiting("api", "redis"), failed("redis", last_output=("no",)))
    lines = why_text.lines(found(*views), status_text.Look(NOW, every=True))
    assert lines.count("  | no") == 1
    assert [line.partition(":")[0] for line in lines if line.startswith("program")] == [
        "program web",
        "program api",
        "program redis",
    ]


def test_of_one_program_everything_is_told():
    view = failed("redis", last_exit=snapshot.Exit(1, None), exits=2, restarts=2, restart_reasons={"exit": 1, "signal": 1, "bound": 0},
                  status="loading", last_output=("no",), final=True, latest=snapshot.Timeline(5.0, None, None))  # fmt: skip
    text = "\n".join(why_text.of_program(found(view), view, LOOK))
    for words in ("failed for 12s; required, it will not come by itself", "started again 2 times: 1 exit, 1 signal", "exited with code 1",
                  "it says: loading", "at first spawned @0.500s, RUNNING @1.500s, ready @1.600s", "latest   spawned @5.000s", "  | no"):  # fmt: skip
        assert words in text, words


def test_what_a_program_printed_cannot_forge_a_line_or_move_the_cursor():
    view = failed("redis", last_output=("\x1b[2Jgone\nREADY",), reason="exited\x1b[31m")
    for line in (
        *why_text.lines(found(view), LOOK),
        *why_text.of_program(found(view), view, LOOK),
        *status_text.lines(found(view), LOOK),
    ):
        assert line.isprintable(), line


def test_status_tells_the_answer_first_then_the_programs_with_their_evidence():
    views = (
        waiting("api", "redis"),
        failed("redis", restarts=3, restart_reasons={"exit": 3}),
        boots.view("seal", role="seal"),
    )
    lines = status_text.lines(found(*views), LOOK)
    assert lines[0] == "UNREADY for 12s: redis exited with code 1 (api waits for redis)"
    table = "\n".join(lines)
    assert "3 (3 exit)" in table and "seal" not in table
    assert any("seal" in line for line in status_text.lines(found(*views), status_text.Look(NOW, every=True)))
    assert status_text.lines(found(boots.view("api")), LOOK)[0] == "READY for 12s"
    assert (
        status_text.lines(found(boots.view("api")), status_text.Look(NOW, absolute=True))[0]
        == f"READY since {boots.WALL}"
    )


def test_status_in_json_says_unknown_where_nobody_says():
    told = situation.of_ledger(boots.ledger(boots.view("api")), None, "no answer")
    value = status_text.to_json(told)
    assert (value["state"], value["ready"], value["schema"]) == ("unknown", None, "bootseal.status/1")
    assert value["programs"][0]["name"] == "api"


def test_where_things_listen_is_told_in_the_servers_words():
    told = dataclasses.replace(found(boots.view("api")), endpoints={"probes": "0.0.0.0:80", "metrics": None, "paths": ["/x"],
                               "detail": {"reach": "own", "token": False}}, log_level="debug")  # fmt: skip
    assert status_text.lines(told, LOOK)[-3:] == [
        "probes    0.0.0.0:80",
        "detail    reach own, token no",
        "log level debug",
    ]


STOPPED = dataclasses.replace(
    found(boots.view("api")), ready=False, reason="old", unconfirmed_seconds=30.2, stopped_pid=7
)


def test_what_pid_1_last_told_is_never_told_as_what_is():
    view = boots.view("api")
    lines = why_text.of_program(STOPPED, view, LOOK)
    assert lines[0] == "not known: PID 1 has not confirmed its ledger for 30 s; it last said: ready"
    assert lines[1] == "  PID 1 is process 7 and is stopped (kill -CONT 7)"
    failing = failed("redis")
    told = why_text.of_program(dataclasses.replace(STOPPED, programs=(failing,)), failing, LOOK)
    assert told[0].endswith("it last said: redis exited with code 1")
    assert lines[1] in why_text.lines(STOPPED, LOOK)
    shown = status_text.lines(STOPPED, LOOK)
    assert lines[1] in shown
    assert shown[shown.index("as PID 1 last told, 30s ago") + 1].startswith("PROGRAM")
    assert not any("last told" in line or "stopped" in line for line in status_text.lines(found(view), LOOK))


def test_where_the_probe_server_alone_is_missing_it_alone_is_to_be_started_again():
    server = boots.view("probes", role="probes")
    told = situation.of_ledger(boots.ledger(boots.view("api"), server), None, "the probe server does not answer")
    for every in (False, True):
        assert why_text.lines(told, status_text.Look(NOW, every=every)) == [
            "readiness unknown: the probe server does not answer",
            "  PID 1 says: every required program is ready",
            "  → bootseal restart probes",
        ]
    ending = why_text.lines(dataclasses.replace(told, phase=snapshot.STOPPING), LOOK)
    assert ending[1:] == ["  PID 1 says: the container stops"]


def test_what_is_given_up_is_told_with_what_to_do():
    advice = "  it will not be tried again: mend it, then bootseal restart redis"
    gone = failed("redis", final=True)
    waits = failed("api", "needs redis, which exited with code 1", final=True)
    assert advice in why_text.lines(found(waits, gone), LOOK)
    assert advice in why_text.of_program(found(waits, gone), waits, LOOK)
    again = failed("redis")
    assert advice not in why_text.lines(found(again), LOOK)
    assert advice not in why_text.lines(found(gone, phase=snapshot.STOPPING), LOOK)


def test_of_one_requirement_everything_is_told():
    mount = situation.Requirement("/x", "mount", False, "1 MiB is free", boots.WALL, True)
    relay = situation.Requirement("relay", "relay", True, "", boots.WALL, False)
    known = dataclasses.replace(found(boots.view("api")), requirements=(mount, relay))
    assert known.requirement("mount:/x") == known.requirement("/x") == mount
    assert known.requirement("check:/x") is None
    assert why_text.of_requirement(known, mount, LOOK) == ["mount /x: 1 MiB is free", "  missing for 12s; required"]
    assert why_text.of_requirement(known, relay, LOOK) == ["relay is met", "  met for 12s; optional"]
