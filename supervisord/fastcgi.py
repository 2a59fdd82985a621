"""FastCGI programs: supervisord makes their listening sockets, and each finds its own as descriptor 0.

Rules
-----
* Programs of one socket share it: supervisor would make it once for each of them, the next in the place of the last (4.3.0,
  ``UnixStreamSocketConfig.create_and_bind``). So it does for a group that is added while others run (``FastCGIProcessGroup``): it finds
  theirs.
* A socket that cannot be made is a failed start with its cause. supervisor makes it before it spawns and lets the error go
  (``FastCGISubprocess.spawn``): it would come again in every turn of its loop, and end PID 1 without the gate.
"""

from collections.abc import Callable
from typing import Any

from supervisor import process, socket_manager, states

from contract import errors


class Sockets:
    """The sockets of one generation's FastCGI programs, each with everybody who shares it."""

    def __init__(self) -> None:
        self._shared: dict[str, Any] = {}
        if not hasattr(process, "SocketManager"):
            raise AttributeError("supervisor makes the sockets of FastCGI programs otherwise")
        process.SocketManager = self._manager  # what a FastCGI group that is added later takes its socket from

    def install(self, group: Any) -> None:
        """Let supervisor's ``group`` share its socket; groups of other kinds are left alone."""
        own = getattr(group, "socket_manager", None)
        if own is None:
            return
        group.socket_manager = self._shared.setdefault(own.config().url, own)
        for member in group.processes.values():
            member.spawn = _careful(member, member.spawn)

    def _manager(self, config: Any, **options: Any) -> Any:
        """Return what is to manage the socket of ``config``: what does already, with what is said of it now where nobody has it."""
        shared = self._shared.get(config.url)
        if shared is None:
            shared = self._shared[config.url] = socket_manager.SocketManager(config, **options)
        if not shared.prepared:
            shared.socket_config = config
        return shared


def _careful(member: Any, original: Callable[[], Any]) -> Callable[[], Any]:
    """Return ``spawn`` that first makes the socket, and fails as any other start where that is not possible."""

    def spawn() -> Any:
        try:
            member.before_spawn()
        except Exception as error:
            member.change_state(states.ProcessStates.STARTING)
            member.record_spawnerr(f"its socket {member.group.config.socket_config} cannot be made: {_cause(error)}")
            member.change_state(states.ProcessStates.BACKOFF)
            return None
        return original()

    return spawn


def _cause(error: Exception) -> str:
    return errors.describe_os_error(error) if isinstance(error, OSError) else str(error)
