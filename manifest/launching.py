"""FastCGI programs and event listeners: their rules, and from the manifest's sections to the plan.

Rules
-----
* PID 1 makes a FastCGI program's socket, and PID 1 writes beneath ``boot.writable`` and in the run directory alone.
* Programs of one socket share it, so they say the same of it.
* A program is one of the two at most. Neither is a one-shot: supervisord speaks with it as long as it runs.
"""

from manifest import fields, launch, model, provisions, tree
from manifest.diagnostics import quote
from manifest.resolver import Resolver, own_paths, unreadable_by_supervisord

_UNIX = "unix://"


def fastcgi(name: str, program: model.Program, resolver: Resolver) -> launch.FastcgiPlan | None:
    """Return the socket of the program ``name``, or None; with the findings E119 and E076."""
    written = program.fastcgi
    if written is None:
        return None
    here: tree.Path = ("programs", name, "fastcgi")
    _refuse_combinations(name, program, resolver)
    if not written.socket.startswith(_UNIX):
        if written.mode is not None:
            _refuse(resolver, (*here, "mode"), f"the port of {quote(name)} has no mode: it is no file", "remove `mode`")
        return launch.FastcgiPlan(written.socket, None, written.backlog)
    path = resolver.socket((*here, "socket"), written.socket.removeprefix(_UNIX))
    _check_path(name, path, resolver)
    return launch.FastcgiPlan(f"{_UNIX}{path}", written.mode, written.backlog)


def listener(program: model.Program) -> launch.ListenerPlan | None:
    """Return what the program is told of, or None."""
    written = program.listener
    return None if written is None else launch.ListenerPlan(tuple(dict.fromkeys(written.events)), written.buffer)


def check(resolver: Resolver) -> None:
    """E119: what holds for both kinds, and for several programs together."""
    sockets: dict[str, tuple[str, model.Program]] = {}
    for name, program in resolver.subject.model.programs.items():
        if program.listener is not None and program.oneshot:
            message = f"the listener {quote(name)} is a one-shot: supervisord tells it of events as long as it runs"
            _refuse(resolver, ("programs", name, "listener"), message, "remove `oneshot: true`")
        if program.fastcgi is None:
            continue
        owner, other = sockets.setdefault(program.fastcgi.socket, (name, program))
        if other.fastcgi is not None and _terms(other) != _terms(program):
            message = f"{quote(name)} and {quote(owner)} share one socket, and say different things of it"
            _refuse(resolver, ("programs", name, "fastcgi"), message, "write the same `mode` and `backlog`")


def _terms(program: model.Program) -> tuple[int | None, int | None]:
    return (program.fastcgi.mode, program.fastcgi.backlog) if program.fastcgi else (None, None)


def _refuse_combinations(name: str, program: model.Program, resolver: Resolver) -> None:
    here: tree.Path = ("programs", name, "fastcgi")
    if program.listener is not None:
        why = "the one finds a socket as its stdin, the other the events"
        _refuse(resolver, here, f"{quote(name)} is both a FastCGI program and an event listener: {why}", "remove one")
    if program.oneshot:
        message = f"the FastCGI program {quote(name)} is a one-shot: its socket is there as long as it runs"
        _refuse(resolver, here, message, "remove `oneshot: true`")
    if provisions.PROGRAM_USERS in resolver.subject.model.security.exceptions:
        message = f"{quote(name)} cannot get its socket: under `program-users` it would be root's"
        _refuse(resolver, here, message, "let the program make its socket itself")


def _check_path(name: str, path: str, resolver: Resolver) -> None:
    """E119: the socket is where PID 1 may write, and supervisor's configuration can name it."""
    here: tree.Path = ("programs", name, "fastcgi", "socket")
    if fields.path_fault(path):
        return  # said already
    if fault := unreadable_by_supervisord(path):
        _refuse(
            resolver, here, f"supervisord's configuration cannot carry the socket {quote(path)}: {fault}", "rename it"
        )
    if any(path == own or path.startswith(f"{own}/") for own in own_paths(resolver.scope.run)):
        _refuse(
            resolver, here, f"the socket {quote(path)} would replace a file of bootseal's own", "choose another name"
        )
    roots = {*resolver.scope.writable.values(), resolver.scope.run}
    if any(path.startswith(f"{root}/") for root in roots) or resolver.subject.was_cut("boot", "writable"):
        return
    message = f"PID 1 cannot make the socket {quote(path)}: it lies beneath no path of boot.writable, nor in the run directory"
    _refuse(resolver, here, message, "add its directory to boot.writable, or write unix://${run}/NAME.sock")


def _refuse(resolver: Resolver, path: tree.Path, message: str, remedy: str) -> None:
    place = tree.place_of(resolver.subject.root, tree.written(resolver.subject.root, path))
    resolver.findings.add("E119", place, message, remedy)
