"""Event listeners: programs that supervisord tells of events on their stdin and that answer on their stdout.

Rules
-----
* A listener's stdout is its protocol, never output: what it prints for people is its stderr.
* It is ready by its first READY. One that breaks the protocol, with a stray print for example, hears nothing any more until it is
  started again (supervisor 4.3.0, ``PEventListenerDispatcher``): it is not ready, and the reason says what it said instead.
* An answer is bounded: supervisor would keep whatever a listener prints until the line or the answer is complete, and one of a negative
  length ends PID 1 when the listener does (``PEventListenerDispatcher.handle_listener_state_change``, ``Subprocess.finish``).
* What a listener rejects it is told again, after a pause: supervisor would ask again in every turn of its loop.
* It is told of the manifest's programs, not of bootseal's own: the end of the seal program is nobody's crash.
* What a listener has not read yet waits. supervisor would let a full pipe end PID 1 (``EventListenerPool._dispatchEvent``); what is
  left at its end is ``supervisord.gate``'s, as for every program.
"""

from collections.abc import Callable
from typing import Any, Protocol

from supervisor import dispatchers, events, states

from supervisord import notify

PROOF = "READY as an event listener"
_SHOWN = 80
_LONGEST_ANSWER = 4096
"""Bytes; the only answers that mean something are OK and FAIL."""
_REJECTED_PAUSE_SECONDS = 1.0
_STATES = states.EventListenerStates


class Sink(Protocol):
    """Who is told of a listener, under its name; as ``evidence.Sink``."""

    def proven(self, name: str, by: str) -> None:
        """It is ready."""

    def withdrawn(self, name: str, reason: str) -> None:
        """It is not ready any more."""


class Listeners:
    """Watches over the listeners of one generation."""

    def __init__(
        self,
        own: frozenset[str],
        sink: Sink,
        hide: Callable[[str, str], str],
        report: Callable[[str, Exception], None],
        note_change: Callable[[], None],
    ) -> None:
        """``own`` are the programs that no listener is told of; ``hide`` hides a program's secrets in its words.

        Raises AttributeError when supervisor is unfamiliar.
        """
        for name in ("_change_listener_state", "handle_listener_state_change"):
            if not hasattr(dispatchers.PEventListenerDispatcher, name):
                raise AttributeError("supervisor's event listener dispatcher changes its state otherwise")
        self._own = own
        self._sink = sink
        self._hide = hide
        self._report = report
        self._note_change = note_change

    def install(self, group: Any) -> None:
        """Watch over supervisor's ``group``; groups of other kinds are left alone."""
        if not hasattr(group, "event_buffer"):
            return
        self._filter(group)
        for member in group.processes.values():
            member.config.make_dispatchers = self._watched(member.config.name, member.config.make_dispatchers)

    def _filter(self, pool: Any) -> None:
        """Keep from ``pool`` the events of bootseal's own programs, and what another listener rejected.

        supervisor tells the pools apart by their programs' priority alone (4.3.0, ``EventListenerPool.handle_rejected``).
        """
        original, original_rejected = pool._acceptEvent, pool.handle_rejected

        def accept(event: Any, head: bool = False) -> None:
            if not self._is_own(event):
                original(event, head=head)

        def handle_rejected(event: Any) -> None:
            if event.process.group is pool:
                pool.dispatch_throttle = (
                    _REJECTED_PAUSE_SECONDS  # an attribute of supervisor's own, that nothing sets there
                )
                original_rejected(event)

        pool._acceptEvent, pool.handle_rejected = accept, handle_rejected
        replaced = {original: accept, original_rejected: handle_rejected}
        for index, (kind, callback) in enumerate(events.callbacks):  # in place: this may be called by one of them
            events.callbacks[index] = kind, replaced.get(callback, callback)
        pool.event_buffer[:] = [event for event in pool.event_buffer if not self._is_own(event)]

    def _is_own(self, event: Any) -> bool:
        process = getattr(event, "process", None)
        return (getattr(event, "group", None) if process is None else process.config.name) in self._own

    def _watched(self, name: str, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return ``make_dispatchers`` whose listener tells of its changes of state."""

        def make_dispatchers(process: Any) -> Any:
            made, pipes = original(process)
            for one in made.values():
                if isinstance(one, dispatchers.PEventListenerDispatcher):
                    one._change_listener_state = self._told(name, one, one._change_listener_state)
                    one.handle_listener_state_change = _bounded(one, one.handle_listener_state_change)
                elif isinstance(one, dispatchers.PInputDispatcher):
                    one.flush = _patient(one.flush)
            return made, pipes

        return make_dispatchers

    def _told(self, name: str, dispatcher: Any, original: Callable[[int], None]) -> Callable[[int], None]:
        is_proven = False

        def change(state: int) -> None:
            nonlocal is_proven
            before = dispatcher.process.listener_state
            original(state)
            if state == _STATES.ACKNOWLEDGED:
                dispatcher.process.group.dispatch_throttle = 0
            try:
                if state == _STATES.READY and not is_proven:
                    is_proven = True
                    self._sink.proven(name, PROOF)
                elif state == _STATES.UNKNOWN:
                    self._sink.withdrawn(name, self._breach(name, before, dispatcher.state_buffer))
            except Exception as error:
                self._report("event listener", error)
            self._note_change()

        return change

    def _breach(self, name: str, before: int, said: bytes) -> str:
        """Return how the listener broke the protocol in the state ``before``, as a verb phrase."""
        if before == _STATES.BUSY:
            return "broke the event listener protocol: no RESULT answered the event, and it is told no more"
        line = notify.one_line(self._hide(name, said.decode("utf-8", "replace")))
        text = self._hide(name, line)[:_SHOWN]  # hidden before it is cut, and in what drawing together makes of it
        return f"broke the event listener protocol: it printed {text!r}, and it is told no more"


def _bounded(dispatcher: Any, original: Callable[[], None]) -> Callable[[], None]:
    """Return ``handle_listener_state_change`` that takes an answer which no listener means for a breach of the protocol.

    supervisor calls it again, by this name, for what is left of what it has read.
    """

    def handle_listener_state_change() -> None:
        if _is_answer_bounded(dispatcher):
            original()
            return
        process = dispatcher.process
        dispatcher._change_listener_state(_STATES.UNKNOWN)
        dispatcher.state_buffer, dispatcher.result, dispatcher.resultlen = b"", b"", None
        event, process.event = process.event, None
        if event is not None:
            events.notify(events.EventRejectedEvent(process, event))

    return handle_listener_state_change


def _is_answer_bounded(dispatcher: Any) -> bool:
    if dispatcher.process.listener_state != _STATES.BUSY:
        return True
    if dispatcher.resultlen is None:
        return len(dispatcher.state_buffer) <= _LONGEST_ANSWER or b"\n" in dispatcher.state_buffer[:_LONGEST_ANSWER]
    return bool(0 <= dispatcher.resultlen <= _LONGEST_ANSWER)


def _patient(original: Callable[[], None]) -> Callable[[], None]:
    """Return ``flush`` that lets a full pipe wait: what is left is in the dispatcher's buffer, and follows when there is room."""

    def flush() -> None:
        try:
            original()
        except BlockingIOError:
            return

    return flush
