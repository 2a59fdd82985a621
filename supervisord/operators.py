# ruff: noqa: N802 - the methods have supervisor's names
"""Operators keep their tools: supervisor's own RPC namespace, within the dependency graph.

supervisord calls ``make`` while it starts (``[rpcinterface:supervisor]``), before the extension attaches; so what the ledger
says is asked of ``bootseal_desk``, an attribute of supervisord's object, when a call comes.

Rules
-----
* What is not said here is stock: every method, fault and answer of supervisor's namespace stays.
* A start waits for what the program needs, or is refused with it. A stopped program stays stopped, also one that never
  ran; what is bound to it stops before it and comes back with it.
* ``all`` never stops or signals bootseal's own programs, and starts them only when they are down.
* A program that the plan does not know cannot be added.
* Descriptions keep supervisor's first words for what runs (readers parse the pid), and carry the ledger's; one line always.
* An exception of ours becomes a fault for the caller, and a report; never a crash of the loop.
* supervisor's web pages make a namespace of their own for each request (4.3.0, supervisor/web.py): they are given this one.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from supervisor import events, http, options, rpcinterface, states, web, xmlrpc

from contract import errors
from supervisord import descents, waits

Desk = waits.Desk
_DESK = "bootseal_desk"
_STOCK = rpcinterface.SupervisorNamespaceRPCInterface
_WEB_NAME = "SupervisorNamespaceRPCInterface"
_START_DELAY_SECONDS = 0.05
_STOP_DELAY_SECONDS = 0
"""As supervisor's own: a stop is answered in the turn in which it is done."""
_DOWN = frozenset({states.ProcessStates.STOPPED, states.ProcessStates.FATAL})


def make(supervisor: Any) -> "Operators":
    """Build the RPC namespace ``supervisor``; raises BootsealError when the web pages could go past it."""
    namespace = Operators(supervisor)
    if not callable(getattr(web, _WEB_NAME, None)):
        raise errors.BootsealError(
            "supervisor's web pages",
            "they find their RPC namespace in an unfamiliar way and would stop programs past the dependency graph",
            "install supervisor 4.2.5 or 4.3",
        )
    setattr(web, _WEB_NAME, lambda _supervisord: namespace)
    events.subscribe(events.ProcessStateEvent, namespace._on_state)
    return namespace


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``method`` with the stock text for ``system.methodHelp``, and its exceptions as faults."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def attempt(self: "Operators", *arguments: Any, **named: Any) -> Any:
        signature.bind(self, *arguments, **named)  # supervisor answers a TypeError with INCORRECT_PARAMETERS
        return self._attempt(method.__name__, lambda: method(self, *arguments, **named))

    stock = inspect.getdoc(getattr(_STOCK, method.__name__)) or ""
    attempt.__doc__ = f"{inspect.getdoc(method)}\n\n{stock}"
    return attempt


class Operators(rpcinterface.SupervisorNamespaceRPCInterface):  # type: ignore[misc]
    """supervisor's namespace, asking the desk first. Public methods are RPC methods; all else begins with ``_``."""

    def __init__(self, supervisord: Any) -> None:
        super().__init__(supervisord)
        self._descents = descents.Descents(supervisord)

    # --- starting ---------------------------------------------------------------------------------------------

    @_guarded
    def startProcess(self, name: str, wait: bool = True) -> Any:
        """Start a program once what it needs is there; refused when that will not come by itself."""
        self._update("startProcess")
        group, process = self._find(name)
        if process is None:
            return self.startProcessGroup(group.config.name, wait)
        desk, program, state = self._desk(), process.config.name, process.get_state()
        if not desk.knows(program) or state in states.RUNNING_STATES or state == states.ProcessStates.UNKNOWN:
            return super().startProcess(name, wait)
        if state == states.ProcessStates.STOPPING and not wait:
            raise waits.Refused(xmlrpc.Faults.ABNORMAL_TERMINATION, "is being stopped; start it when it is down")
        is_startable = state != states.ProcessStates.STOPPING and desk.obstacle(program) is None
        if is_startable and not _is_executable(process):
            return super().startProcess(name, wait)  # which says why not
        start = waits.Start(desk, process, self._descents.stand(program))
        if state != states.ProcessStates.STOPPING:
            start.ask()
        if is_startable:
            try:
                super().startProcess(name, wait=False)
            except xmlrpc.RPCError as error:
                if error.code == xmlrpc.Faults.SPAWN_ERROR:
                    raise waits.Refused(error.code, desk.describe(program)) from error
                raise
        if not wait or (is_startable and start.look()):
            return True
        return self._deferred("startProcess", lambda: start.look() or http.NOT_DONE_YET, _START_DELAY_SECONDS)

    @_guarded
    def startAllProcesses(self, wait: bool = True) -> Any:
        """Start every program that does not run, what is needed first; bootseal's own only when they are down."""
        self._update("startAllProcesses")
        desk = self._desk()

        def is_due(process: Any) -> bool:
            is_wanted = not desk.is_own(process.config.name) or process.get_state() in _DOWN
            return is_wanted and rpcinterface.isNotRunning(process)

        members = sorted(self._getAllProcesses(), key=lambda pair: desk.rank(pair[1].config.name))
        look = rpcinterface.make_allfunc(members, is_due, self.startProcess, wait=wait)
        return self._deferred("startAllProcesses", look, _START_DELAY_SECONDS)

    # --- stopping ---------------------------------------------------------------------------------------------

    @_guarded
    def stopProcess(self, name: str, wait: bool = True) -> Any:
        """Stop a program, what is bound to it before it; it stays stopped, also when it only waited to start."""
        self._update("stopProcess")
        group, process = self._find(name)
        if process is None:
            return self.stopProcessGroup(group.config.name, wait)
        if not self._desk().knows(process.config.name):
            return super().stopProcess(name, wait)
        has_use = self._descents.has_use(process)
        descent = self._begin([process])
        if not has_use:
            raise xmlrpc.RPCError(xmlrpc.Faults.NOT_RUNNING, name)

        def look() -> Any:
            if problem := descent.failures.get(process.config.name):
                raise xmlrpc.RPCError(xmlrpc.Faults.FAILED, problem)
            return _still_stopping(descent) or True

        if not wait:
            return look() is not None
        return True if look() is True else self._deferred("stopProcess", look, _STOP_DELAY_SECONDS)

    @_guarded
    def stopProcessGroup(self, name: str, wait: bool = True) -> Any:
        """Stop the programs of a group, what is bound to them before them."""
        self._update("stopProcessGroup")
        group = self.supervisord.process_groups.get(name)
        if group is None:
            raise xmlrpc.RPCError(xmlrpc.Faults.BAD_NAME, name)
        return self._stop_many(
            "stopProcessGroup", [(group, process) for process in group.processes.values()], wait=wait
        )

    @_guarded
    def stopAllProcesses(self, wait: bool = True) -> Any:
        """Stop every program but bootseal's own: rank after rank, dependants first."""
        self._update("stopAllProcesses")
        return self._stop_many("stopAllProcesses", self._others(), wait=wait)

    def _stop_many(self, where: str, members: list[tuple[Any, Any]], *, wait: bool) -> Any:
        """Return a deferred answer also when all is done: supervisor's callers call it."""
        told = [(group, process) for group, process in members if self._descents.has_use(process)]
        descent = self._begin([process for _, process in members])

        def look() -> Any:
            return (_still_stopping(descent) if wait else None) or [
                _result(group, process, descent.failures.get(process.config.name)) for group, process in told
            ]

        return self._deferred(where, look, _STOP_DELAY_SECONDS)

    def _begin(self, processes: list[Any]) -> descents.Descent:
        descent = self._descents.begin(self._desk(), processes)
        self.supervisord.reap()  # as supervisor does: what ended at once is told at once
        return descent

    def _on_state(self, _event: Any) -> None:
        """A program changed its state: stops go on from here, whoever waits for them."""
        try:
            self._descents.advance()
        except Exception as error:
            self._report("operators", error)

    # --- signalling, adding -----------------------------------------------------------------------------------

    @_guarded
    def signalAllProcesses(self, signal: str) -> Any:
        """Signal every program but bootseal's own."""
        self._update("signalAllProcesses")
        members = self._others()
        return rpcinterface.make_allfunc(members, rpcinterface.isSignallable, self.signalProcess, signal=signal)()

    @_guarded
    def signalProcess(self, name: str, signal: str) -> Any:
        """Signal a program, as supervisor does."""
        self._find(name)
        return super().signalProcess(name, signal)

    @_guarded
    def addProcessGroup(self, name: str) -> Any:
        """Add a group again that was removed or changed; what the plan does not know is refused."""
        self._update("addProcessGroup")
        desk = self._desk()
        for group in self.supervisord.options.process_group_configs:
            unknown = [one.name for one in group.process_configs if not desk.knows(one.name) or one.name != group.name]
            if group.name == name and unknown:
                why = f"the plan has no group {name} of {', '.join(unknown)}: add it to the manifest and build again"
                raise waits.Refused(xmlrpc.Faults.BAD_NAME, why)
        return super().addProcessGroup(name)

    # --- telling ----------------------------------------------------------------------------------------------

    @_guarded
    def getProcessInfo(self, name: str) -> Any:
        """Return a program's state, described in the ledger's words."""
        self._find(name)
        info = super().getProcessInfo(name)
        words = self._desk().describe(info["name"])
        info["description"] = described(info["state"], info["description"], words)
        return info

    # --- the rim ----------------------------------------------------------------------------------------------

    def _desk(self) -> Desk:
        desk: Desk | None = getattr(self.supervisord, _DESK, None)
        if desk is None:
            why = f"supervisord has no {_DESK}: the extension [rpcinterface:bootseal] is not loaded"
            raise xmlrpc.RPCError(xmlrpc.Faults.FAILED, why)
        return desk

    def _find(self, name: Any) -> tuple[Any, Any]:
        if not isinstance(name, str):
            raise xmlrpc.RPCError(xmlrpc.Faults.INCORRECT_PARAMETERS, "a name is text")
        found: tuple[Any, Any] = self._getGroupAndProcess(name)
        return found

    def _others(self) -> list[tuple[Any, Any]]:
        desk = self._desk()
        return [pair for pair in self._getAllProcesses() if not desk.is_own(pair[1].config.name)]

    def _attempt(self, where: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except xmlrpc.RPCError:
            raise
        except Exception as error:
            self._report(where, error)
            why = f"a fault in bootseal: {type(error).__name__}: {error}"
            raise waits.Refused(xmlrpc.Faults.FAILED, why) from error

    def _report(self, where: str, error: Exception) -> None:
        desk = getattr(self.supervisord, _DESK, None)
        if desk is not None:
            desk.faults().report(where, error)

    def _deferred(self, where: str, look: Callable[[], Any], delay_seconds: float) -> Any:
        """Return ``look`` as supervisor knows a deferred answer: a plain function with a delay (supervisor/xmlrpc.py)."""

        def answer() -> Any:
            return self._attempt(where, look)

        deferred: Any = answer
        deferred.delay = delay_seconds
        deferred.rpcinterface = self
        return deferred


for _name, _member in vars(_STOCK).items():  # system.listMethods looks at the class itself only (4.3.0, xmlrpc.py)
    if not _name.startswith("_") and _name not in vars(Operators):
        setattr(Operators, _name, _member)


def described(state: int, stock: str, words: str) -> str:
    """Return supervisor's description ``stock`` and the ledger's ``words`` as one line."""
    if state == states.ProcessStates.RUNNING:
        text = f"{stock}; {words}" if words else stock
    elif not words:
        text = stock
    elif state in {states.ProcessStates.STOPPED, states.ProcessStates.EXITED} and stock.lower() not in words.lower():
        text = f"{words} ({stock})"
    else:
        text = words
    return waits.plain(text)


def _still_stopping(descent: descents.Descent) -> Any:
    """Return supervisor's word for an answer that is not there yet, or None."""
    for process in descent.waited:
        process.stop_report()
    return None if descent.is_done else http.NOT_DONE_YET


def _result(group: Any, process: Any, problem: str | None) -> dict[str, Any]:
    code = xmlrpc.Faults.FAILED if problem else xmlrpc.Faults.SUCCESS
    name = {"name": process.config.name, "group": group.config.name}
    return {**name, "status": code, "description": problem or "OK"}


def _is_executable(process: Any) -> bool:
    try:
        process.get_execv_args()
    except options.ProcessException:
        return False
    return True
