import errno
import json
import os
import time

import pytest

from contract import errors, events
from entrypoint import phases, stop


class Sink:
    """Keeps the events it takes."""

    def __init__(self) -> None:
        self.events: list[dict] = []

    def __call__(self, data: bytes) -> bool:
        self.events.append(json.loads(data))
        return True


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def emitter(sink) -> events.Emitter:
    return events.Emitter("stage-a", "b", None, sink)


def phase(name: str, work, seconds: float = 60.0) -> phases.Phase:
    return phases.Phase(name, seconds, work)


def failing(error: BaseException) -> phases.Phase:
    def work() -> None:
        raise error

    return phase("broken", work)


def test_phases_run_in_order_and_each_is_announced_and_timed(emitter, sink):
    done: list[str] = []
    timings = phases.run([phase("a", lambda: done.append("a")), phase("b", lambda: done.append("b"))], emitter, 0.0)
    assert done == ["a", "b"]
    assert [timing.name for timing in timings] == ["a", "b"]
    assert all(timing.duration_ms >= 0 for timing in timings)
    assert [(line["event"], line["phase"]) for line in sink.events] == [
        ("PhaseStarted", "a"), ("PhaseCompleted", "a"), ("PhaseStarted", "b"), ("PhaseCompleted", "b"),
    ]  # fmt: skip
    assert sink.events[1]["duration_ms"] == timings[0].duration_ms


def test_a_phase_that_fails_ends_the_boot_and_no_later_one_runs(emitter, sink):
    done: list[str] = []
    with pytest.raises(phases.PhaseFailed) as caught:
        phases.run(
            [failing(errors.BootsealError("a", "b", "c")), phase("later", lambda: done.append("x"))], emitter, 0.0
        )
    assert (caught.value.phase, caught.value.cause, caught.value.exit_code) == ("broken", "a: b (c)", 6)
    assert done == []
    assert [line["event"] for line in sink.events] == ["PhaseStarted"]


@pytest.mark.parametrize(
    ("error", "cause", "code"),
    [
        (errors.UnsafePath("p", "w", "r"), "p: w (r)", 6),
        (phases.CannotHandOver("x", "y", "", 126), "x: y", 126),
        (phases.CannotHandOver("x", "y", "z", 127), "x: y (z)", 127),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/a"), "/a: No such file or directory", 6),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device", 6),
        (ValueError("unforeseen"), "ValueError: unforeseen", 6),
        (MemoryError(), "MemoryError: ", 6),
        (AssertionError("x"), "AssertionError: x", 6),
    ],
)
def test_whatever_a_phase_raises_becomes_the_cause(emitter, error, cause, code):
    with pytest.raises(phases.PhaseFailed) as caught:
        phases.run([failing(error)], emitter, 0.0)
    assert (caught.value.phase, caught.value.cause, caught.value.exit_code) == ("broken", cause, code)


def test_a_stop_is_no_failure_of_the_phase(emitter, sink):
    with pytest.raises(stop.Stopped):
        phases.run([failing(stop.Stopped(15))], emitter, 0.0)
    assert [line["event"] for line in sink.events] == ["PhaseStarted"]


def test_a_phase_that_takes_too_long_fails_by_its_deadline(emitter):
    with pytest.raises(phases.PhaseFailed, match=r"phase slow: it did not finish within 0\.01 s"):
        phases.run([phase("slow", lambda: time.sleep(600), 0.01)], emitter, 0.0)


def test_a_phase_that_waits_in_a_system_call_fails_by_its_deadline_too(emitter):
    reader, writer = os.pipe()
    try:
        with pytest.raises(phases.PhaseFailed, match="did not finish"):
            phases.run([phase("slow", lambda: os.read(reader, 1), 0.01)], emitter, 0.0)
    finally:
        os.close(reader)
        os.close(writer)
