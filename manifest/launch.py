"""The plan's part on programs that supervisord itself speaks with: FastCGI programs and event listeners. Standard library only."""

from contract import records

DEFAULT_BUFFER = 1024
"""How many events wait for a listener, where the manifest does not say: supervisor's own 10 loses events of any boot."""
EVENTS = (
    "PROCESS_STATE", "PROCESS_STATE_STARTING", "PROCESS_STATE_RUNNING", "PROCESS_STATE_BACKOFF", "PROCESS_STATE_STOPPING",
    "PROCESS_STATE_EXITED", "PROCESS_STATE_STOPPED", "PROCESS_STATE_FATAL", "PROCESS_STATE_UNKNOWN", "REMOTE_COMMUNICATION",
    "SUPERVISOR_STATE_CHANGE", "SUPERVISOR_STATE_CHANGE_RUNNING", "SUPERVISOR_STATE_CHANGE_STOPPING", "PROCESS_GROUP",
    "PROCESS_GROUP_ADDED", "PROCESS_GROUP_REMOVED", "TICK", "TICK_5", "TICK_60", "TICK_3600",
)  # fmt: skip
"""The events that a listener may ask for, as supervisor names them (4.3.0, ``events.EventTypes``)."""


@records.dataclass(frozen=True)
class FastcgiPlan:
    """The listening socket that the program finds as descriptor 0: ``socket`` is ``unix:///path`` or ``tcp://host:port``.

    ``mode`` are the permission bits of a unix socket's file, ``backlog`` how many connections wait; None: the kernel's most.
    """

    socket: str
    mode: int | None
    backlog: int | None


@records.dataclass(frozen=True)
class ListenerPlan:
    """The events that supervisord tells the program on its stdin; up to ``buffer`` of them wait for it."""

    events: tuple[str, ...]
    buffer: int
