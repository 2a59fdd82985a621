"""FastCGI programs and event listeners of supervisor's: what a manifest says of them beside what it says of any program."""

import os
import posixpath
from typing import Any

from manifest import diagnostics, fields, launch
from manifest.adoption import expansion, processes, wording

_ENDS_PID1 = ("$PPID", "supervisord.pid", "kill 1", "kill -s", "shutdown")


def fastcgi(work: wording.Work) -> None:
    """`socket` and its like."""
    if work.process.section.kind != processes.FASTCGI:
        return
    settings = work.settings
    if expansion.is_marked(settings.socket) or not settings.socket:
        work.why_not = "supervisord makes its socket, and that has no address here"
        work.remark(wording.REFUSED if settings.socket else wording.WRONG, "socket", work.why_not, decide=True)
        return
    value: dict[str, Any] = {"socket": settings.socket}
    if settings.socket.startswith("unix://"):
        path = posixpath.normpath(settings.socket.removeprefix("unix://"))
        if path.startswith("/var/run/"):
            path = path.removeprefix("/var")
            work.remark(wording.INFO, "socket", f"/var/run is a link to /run in images: the socket is {path}")
        value["socket"] = f"unix://{path}"
        work.writable = os.path.dirname(path)
    elif (problem := _tcp_fault(settings.socket)) is not None:
        work.why_not = f"its socket cannot be made: {problem}"
        work.remark(wording.REFUSED, "socket", work.why_not, decide=True)
    if settings.socket_mode is not None:
        value["mode"] = settings.socket_mode[-3:].rjust(4, "0")
    if settings.socket_backlog is not None:
        value["backlog"] = settings.socket_backlog
    work.key("socket", ("fastcgi",), value)
    if work.has("socket_owner"):
        work.remark(
            wording.REFUSED, "socket_owner", f"{work.shown('socket_owner')}: the socket belongs to the container's user"
        )
    if work.process.group != work.process.section.title:
        work.remark(wording.INFO, "socket", "in a [group:…] supervisord started it without its socket; here it gets it")


def listener(work: wording.Work) -> None:
    """`events` and its like."""
    if work.process.section.kind != processes.LISTENER:
        return
    settings = work.settings
    if work.process.index > 0:
        work.why_not = "one of a pool is told each event, and here every listener is told all: one is enough"
        return
    if work.process.count > 1:
        why = "a pool divided the events between its processes; one process is told all of them"
        work.remark(wording.REFUSED, "numprocs", f"{work.shown('numprocs')}: {why}")
    told = [event for event in settings.events if event in launch.EVENTS]
    for event in (one for one in settings.events if one not in launch.EVENTS):
        if event.startswith(("PROCESS_LOG", "PROCESS_COMMUNICATION", "EVENT")):
            why = "no listener is told what programs print: it goes to the container's output"
            work.remark(wording.REFUSED, "events", f"{event}: {why}")
        else:
            work.remark(wording.WRONG, "events", f"{diagnostics.quote(event)} is no event of supervisor's", decide=True)
    if settings.result_handler != processes.DEFAULT_HANDLER:
        why = "it would run within PID 1, where a fault of it ends the container"
        work.why_not = f"{work.shown('result_handler')}: {why}"
        work.remark(wording.REFUSED, "result_handler", work.why_not)
    elif not told:
        work.why_not = "it asks for no event that a listener is told here"
        if not settings.events:
            work.remark(wording.WRONG, "events", "the section names no events", decide=True)
    if work.settings.redirects_stderr:
        work.remark(
            wording.WRONG,
            "redirect_stderr",
            "supervisor refuses it for a listener, whose stdout is the protocol",
            decide=True,
        )
    if any(word in settings.command for word in _ENDS_PID1):
        why = "it seems to end the container when a program ends: `on_fatal: exit`, the default of required programs, does so here"
        work.remark(wording.INFO, "command", why)
    value: dict[str, Any] = {"events": told}
    if settings.buffer_size is not None:
        value["buffer"] = settings.buffer_size
    work.key("events", ("listener",), value)


def _tcp_fault(socket: str) -> str | None:
    """Return why supervisord cannot listen on ``socket`` here, or None."""
    if not socket.startswith("tcp://"):
        return "it begins with unix:// or tcp://"
    found = fields.listen_address(socket.removeprefix("tcp://").replace("localhost", "127.0.0.1", 1))
    return found if isinstance(found, str) else None
