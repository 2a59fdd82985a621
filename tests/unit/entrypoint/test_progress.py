from hypothesis import given
from hypothesis import strategies as st

from entrypoint import display, progress


def after(*events: dict) -> progress.Progress:
    seen = progress.begin(("api", "web"))
    for number, event in enumerate(events, 1):
        seen = progress.after(seen, event, float(number))
    return seen


def test_a_boot_begins_with_every_program_waiting():
    assert [(row.name, row.state) for row in after().rows] == [("api", "waiting"), ("web", "waiting")]
    assert after().state == progress.BOOTING


def test_phases_are_counted_and_summed():
    seen = after({"event": "PhaseCompleted", "duration_ms": 1.5}, {"event": "PhaseCompleted", "duration_ms": 2})
    assert (seen.phases, seen.stage_a_ms) == (2, 3.5)


def test_a_programs_row_follows_its_events_and_keeps_its_place():
    seen = after(
        {"event": "ProgramStarted", "program": "web", "pid": 7},
        {"event": "ProgramReady", "program": "web", "ready_by": "exit 0"},
        {"event": "ProgramFailed", "program": "api", "reason": "is FATAL"},
    )
    assert seen.rows == (
        progress.Row("api", "failed", "is FATAL", 3.0), progress.Row("web", "ready", "exit 0", 2.0),
    )  # fmt: skip
    assert seen.row("web").state == "ready"
    assert seen.row("none") is None


def test_a_program_that_is_not_shown_makes_no_row():
    assert len(after({"event": "ProgramStarted", "program": "probes", "pid": 1}).rows) == 2


def test_the_seal_and_readiness_are_told_apart():
    seen = after({"event": "BootstrapCompleted"})
    assert (seen.sealed_seconds, seen.state) == (1.0, progress.BOOTING)
    assert after({"event": "ReadinessChanged", "ready": True}).state == progress.READY
    unready = after(
        {"event": "ReadinessChanged", "ready": True}, {"event": "ReadinessChanged", "ready": False, "missing": ["api"]}
    )
    assert (unready.state, unready.missing) == (progress.UNREADY, ("api",))


def test_readiness_is_only_what_says_so_exactly():
    for value in (None, 1, "true", [True]):
        assert after({"event": "ReadinessChanged", "ready": value}).state == progress.UNREADY


def test_a_failure_stays_with_its_first_cause():
    seen = after(
        {"event": "BootstrapFailed", "phase": "seal", "cause": "first"},
        {"event": "BootstrapFailed", "phase": "seal", "cause": "second"},
        {"event": "ReadinessChanged", "ready": True},
        {"event": "StopRequested"},
    )
    assert (seen.state, seen.failure) == (progress.FAILED, "seal: first")


def test_a_stop_is_no_failure():
    assert after({"event": "StopRequested"}).state == progress.STOPPED


def test_a_program_that_is_held_back_waits_for_nothing_and_names_every_artifact_it_lacks():
    seen = after(
        {"event": "ProgramWithheld", "program": "web", "artifact": "tree", "reason": "/t: gone\x1b"},
        {"event": "ProgramWithheld", "program": "web", "artifact": "tool", "reason": "/u: gone"},
        {"event": "ProgramWithheld", "program": "web", "artifact": "tool", "reason": "/u: gone"},
    )
    assert seen.row("web") == progress.Row(
        "web", "withheld", "artifact tree: /t: gone\\x1b; artifact tool: /u: gone", 3.0
    )


@given(st.dictionaries(st.sampled_from(["event", "program", "x"]), st.text() | st.integers() | st.none()))
def test_an_event_that_nobody_knows_changes_nothing(event):
    if event.get("event") not in {
        "PhaseCompleted",
        "ProgramStarted",
        "ProgramReady",
        "ProgramFailed",
        "ProgramWithheld",
    }:
        assert after({**event, "event": "Something"}) == after()


def test_nothing_that_a_program_says_reaches_a_terminal_as_an_escape():
    seen = after(
        {"event": "ProgramFailed", "program": "api", "reason": "\x1b[2Jtwo\nlines"},
        {"event": "BootstrapFailed", "phase": "artifacts", "cause": "\x1b]0;x\x07"},
    )
    assert (seen.row("api").detail, seen.failure) == ("\\x1b[2Jtwo\\nlines", "artifacts: \\x1b]0;x\\x07")
    [shown] = display.warnings({"event": "OptionalArtifactMissing", "capability": "x", "reason": "\x1b[31mred"})
    assert shown == "warning: artifact x: \\x1b[31mred"
