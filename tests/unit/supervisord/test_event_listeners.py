"""Event listeners, with supervisor's own pool and dispatchers: what they are told, and what is said of those who break the protocol."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
from supervisor import dispatchers, events
from supervisor import options as supervisor_options
from supervisor.process import EventListenerPool, Subprocess
from supervisor.states import EventListenerStates, ProcessStates

from supervisord import event_listeners
from tests.unit import supervisors

OWN = frozenset({"probes", "bootstrap-seal"})


class Told:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []
        self.faults: list[str] = []
        self.changes = 0

    def proven(self, name: str, by: str) -> None:
        self.said.append(("proven", name, by))

    def withdrawn(self, name: str, reason: str) -> None:
        self.said.append(("withdrawn", name, reason))

    def note_change(self) -> None:
        self.changes += 1


@pytest.fixture(autouse=True)
def _no_subscriptions() -> Iterator[None]:
    before = list(events.callbacks)
    yield
    events.callbacks[:] = before


def pool(options: Any, name: str, *kinds: type[Any], buffer: int = 100) -> Any:
    one = supervisors.config(options, name, supervisor_options.EventListenerConfig)
    made = supervisor_options.EventListenerPoolConfig(
        options, name, 10, [one], buffer, kinds or (events.ProcessStateEvent,), dispatchers.default_handler
    )
    return made.make_group()


def watch(made: Any, hide: Any = lambda _name, text: text) -> Told:
    told = Told()
    told.watch = event_listeners.Listeners(
        OWN, told, hide, lambda where, _: told.faults.append(where), told.note_change
    )
    told.watch.install(made)
    return told


def change(options: Any, name: str) -> events.ProcessStateEvent:
    process = Subprocess(supervisors.config(options, name, supervisor_options.ProcessConfig))
    return events.ProcessStateExitedEvent(process, ProcessStates.RUNNING)


class Box:
    """A pool of one listener whose process is a pair of pipes."""

    def __init__(self, hide: Any = lambda _name, text: text) -> None:
        self.options = supervisors.Options()
        self.pool = pool(self.options, "watch")
        self.told = watch(self.pool, hide)
        [self.member] = self.pool.processes.values()
        self.member.group = self.pool
        made, pipes = self.member.config.make_dispatchers(self.member)
        self.member.dispatchers, self.member.pipes, self.member.pid = made, pipes, 4242
        self.member.state = ProcessStates.RUNNING

    def says(self, data: bytes) -> None:
        os.write(self.member.pipes["child_stdout"], data)
        self.member.dispatchers[self.member.pipes["stdout"]].handle_read_event()

    def hears(self) -> bytes:
        os.set_blocking(self.member.pipes["child_stdin"], False)
        try:
            return os.read(self.member.pipes["child_stdin"], 1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        for fd in self.member.pipes.values():
            os.close(fd)


@pytest.fixture
def box() -> Iterator["Box"]:
    made = Box()
    yield made
    made.close()


def test_the_first_ready_is_the_proof_and_no_other(box: Box) -> None:
    box.says(b"REA")
    assert box.told.said == []
    box.says(b"DY\n")
    events.notify(change(box.options, "web"))
    box.pool.transition()
    box.says(b"RESULT 2\nOKREADY\n")
    assert box.told.said == [("proven", "watch", "READY as an event listener")]
    assert box.member.listener_state == EventListenerStates.READY


def test_a_listener_hears_of_the_manifests_programs_alone(box: Box) -> None:
    box.says(b"READY\n")
    for name in ("probes", "bootstrap-seal", "web"):
        events.notify(change(box.options, name))
    box.pool.dispatch()
    said = box.hears()
    assert b"processname:web " in said
    assert box.pool.event_buffer == []


def test_what_was_buffered_of_our_own_programs_before_is_not_told() -> None:
    options = supervisors.Options()
    made = pool(options, "watch", events.ProcessStateEvent, events.ProcessGroupEvent)
    for event in (change(options, "probes"), events.ProcessGroupAddedEvent("bootstrap-seal"), change(options, "web")):
        events.notify(event)
    watch(made)
    assert [event.process.config.name for event in made.event_buffer] == ["web"]


BREACHES = {
    "before the first READY": ([b"hello, world\n"], "it printed 'hello, world'"),
    "while it waits for an event": ([b"READY\n", b"debug: \x1b[31mstray\n"], "it printed 'debug: [31mstray'"),
}


@pytest.mark.parametrize(("words", "why"), BREACHES.values(), ids=BREACHES)
def test_a_stray_print_ends_readiness_and_is_named(words: list[bytes], why: str, box: Box) -> None:
    for one in words:
        box.says(one)
    kind, name, reason = box.told.said[-1]
    assert (kind, name) == ("withdrawn", "watch")
    assert why in reason and "event listener protocol" in reason
    assert box.told.changes > 0 and box.told.faults == []


def test_an_answer_that_is_none_ends_readiness(box: Box) -> None:
    box.says(b"READY\n")
    events.notify(change(box.options, "web"))
    box.pool.dispatch()
    box.says(b"I did it\n")
    assert box.told.said[-1][0] == "withdrawn" and "no RESULT" in box.told.said[-1][2]


def test_a_secret_in_a_stray_print_is_hidden() -> None:
    box = Box(lambda _name, text: text.replace("hunter2", "***"))
    box.says(b"password hunter2 is wrong\n")
    assert "hunter2" not in box.told.said[-1][2] and "***" in box.told.said[-1][2]
    box.close()


def test_a_sink_that_breaks_reaches_nobody(box: Box) -> None:
    box.told.proven = lambda *_: 1 / 0
    box.says(b"READY\n")
    assert box.told.faults == ["event listener"]
    assert box.member.listener_state == EventListenerStates.READY


def test_a_listener_that_does_not_read_cannot_end_pid_1(box: Box) -> None:
    """Supervisor lets EAGAIN of a full pipe out of its loop (4.3.0, ``EventListenerPool._dispatchEvent``)."""
    box.says(b"READY\n")
    stdin = box.member.pipes["stdin"]
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(stdin, b"x" * 4096)
    events.notify(change(box.options, "web"))
    box.pool.transition()
    waiting = box.member.dispatchers[stdin].input_buffer
    assert b"processname:web" in waiting
    assert box.member.listener_state == EventListenerStates.BUSY
    box.hears()
    box.member.dispatchers[stdin].handle_write_event()
    assert b"processname:web" in box.hears()


def test_the_end_of_a_listener_whose_full_stdin_a_child_still_has_cannot_end_pid_1(box: Box) -> None:
    """Supervisor writes once more at its end, and lets EAGAIN out of its loop (4.3.0, ``Subprocess.drain``)."""
    box.says(b"READY\n")
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(box.member.pipes["stdin"], b"x" * 4096)
    events.notify(change(box.options, "web"))
    box.pool.transition()
    box.member.drain()
    assert b"processname:web" in box.member.dispatchers[box.member.pipes["stdin"]].input_buffer


UNBOUNDED = {
    "a negative length": [b"RESULT -5\nmuch more than five"],
    "a negative length, and the rest later": [b"RESULT -5\n", b"rest"],
    "a length beyond all answers": [b"RESULT 99999999999\n", b"x"],
    "a line without an end": [b"x" * 65536],
    "a line without an end, piece by piece": [b"x" * 1000] * 5,
}


@pytest.mark.parametrize("words", UNBOUNDED.values(), ids=UNBOUNDED)
def test_an_answer_without_bounds_is_a_breach_and_nothing_of_it_is_kept(words: list[bytes], box: Box) -> None:
    """As supervisor has it, the first is endless recursion, at the listener's end in ``Subprocess.finish``: PID 1 dies."""
    box.says(b"READY\n")
    events.notify(change(box.options, "web"))
    box.pool.dispatch()
    for one in words[:-1]:
        box.says(one)
    os.write(box.member.pipes["child_stdout"], words[-1])
    box.member.drain()
    stdout = box.member.dispatchers[box.member.pipes["stdout"]]
    assert box.told.said[-1][0] == "withdrawn" and "no RESULT" in box.told.said[-1][2]
    assert (stdout.state_buffer, stdout.result, box.member.event) == (b"", b"", None)
    assert len(box.pool.event_buffer) == 1, "the event waits until the listener is started again"


def test_what_a_listener_rejects_is_told_again_after_a_pause(box: Box) -> None:
    """Supervisor would dispatch it in the very next turn of its loop, for ever."""
    box.says(b"READY\n")
    events.notify(change(box.options, "web"))
    box.pool.transition()
    box.hears()
    box.says(b"RESULT 4\nFAILREADY\n")
    box.pool.transition()
    assert (box.hears(), len(box.pool.event_buffer)) == (b"", 1)
    box.pool.last_dispatch -= 2.0
    box.pool.transition()
    assert b"processname:web" in box.hears()
    box.says(b"RESULT 2\nOKREADY\n")
    events.notify(change(box.options, "api"))
    box.pool.transition()
    assert b"processname:api" in box.hears()


def test_what_one_listener_rejects_is_not_told_another() -> None:
    """Supervisor takes pools of equal priority for one (4.3.0, ``EventListenerPool.handle_rejected``)."""
    options = supervisors.Options()
    first, second = pool(options, "first"), pool(options, "second", events.TickEvent)
    for one in (first, second):
        watch(one)
        for member in one.processes.values():
            member.group = one
    [member] = first.processes.values()
    event = change(options, "web")
    event.serial, event.pool_serials = 1, {"first": 1}
    events.notify(events.EventRejectedEvent(member, event))
    assert (first.event_buffer, second.event_buffer) == ([event], [])


def test_a_pool_that_is_removed_hears_nothing_more(box: Box) -> None:
    box.pool.before_remove()
    events.notify(change(box.options, "web"))
    assert box.pool.event_buffer == []


def test_other_groups_are_left_alone() -> None:
    options = supervisors.Options()
    one = supervisors.config(options, "web", supervisor_options.ProcessConfig)
    group = supervisor_options.ProcessGroupConfig(options, "web", 10, [one]).make_group()
    watch(group)
    assert "make_dispatchers" not in vars(one)


def test_an_unfamiliar_supervisor_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(dispatchers.PEventListenerDispatcher, "_change_listener_state")
    with pytest.raises(AttributeError):
        watch(object())


def test_a_listener_of_a_pool_type_is_what_supervisor_makes(box: Box) -> None:
    assert isinstance(box.pool, EventListenerPool)
