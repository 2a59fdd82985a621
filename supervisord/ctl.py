"""The supervisorctl plug-in: ``ready``, ``why`` and ``seal``, and the reason of a start that was refused.

supervisorctl loads it by ``[ctlplugin:bootseal]``, from the Python that it runs on: that must be the one bootseal is
installed in.

Rules
-----
* It tells what PID 1's ledger says and decides nothing more: see ``ctl_answers``.
* ``ready`` and ``seal`` exit 0 or 1; 2 for wrong arguments; 4 when supervisord cannot be asked, as ``status`` does.
* A call has a deadline: supervisord answers nobody while it is stopped.
* What programs printed is shown without control characters.
"""

import contextlib
import errno
import http.client
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from supervisor import supervisorctl, xmlrpc
from supervisor.compat import xmlrpclib

from contract import duration, errors, snapshot
from supervisord import ctl_answers

_CALL_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_NOT_READY, _USAGE, _UNREACHABLE = 1, 2, 4
_STOCK_TEXT = re.compile(r"[A-Z_]+(:|$)")
"""How supervisor's own fault texts begin: with the name of their code."""
_REASONED = frozenset({xmlrpc.Faults.SPAWN_ERROR, xmlrpc.Faults.ABNORMAL_TERMINATION, xmlrpc.Faults.FAILED})
_HELP = {
    "ready": (
        "ready\t\t\tSay whether everything required is ready: exit status 0, or 1 and what is missing",
        "ready --wait <duration>\tThe same, once it is ready or the duration (500ms, 30s, 2m) is over",
    ),
    "why": ("why <name> [...]\tSay what is known of a program: state, reason, how it ended, its last output",),
    "seal": ("seal\t\t\tSay whether this generation is sealed: exit status 0, or 1 and why not",),
}


def make(controller: Any) -> "Plugin":
    """Build the plug-in for supervisorctl's ``controller``."""
    return Plugin(controller)


class Unreachable(errors.BootsealError):
    """Supervisord cannot be asked."""


def seconds(text: str) -> float | None:
    """Return the duration ``text`` (500ms, 30s, 1m30s) in seconds, or None when it is none."""
    found = duration.milliseconds(text)
    return None if found is None else found / 1000


class Plugin(supervisorctl.ControllerPluginBase):  # type: ignore[misc]
    """The commands; ``do_*`` and ``help_*`` are supervisorctl's names for them."""

    name = "bootseal"

    def __init__(self, controller: Any) -> None:
        super().__init__(controller)
        default = next((one for one in controller.options.plugins if hasattr(one, "_startresult")), None)
        self._has_default = default is not None
        if default is not None:
            default._startresult = _with_reason(default._startresult)
            default.help_ready, default.help_why, default.help_seal = self.help_ready, self.help_why, self.help_seal

    # --- ready ------------------------------------------------------------------------------------------------

    def do_ready(self, arg: str) -> None:
        """Say whether everything required is ready."""
        words = arg.replace("=", " ").split()
        patience = seconds(words[1]) if len(words) == 2 and words[0] == "--wait" else None
        if words and patience is None:
            self._refuse("ready")
            return
        deadline = time.monotonic() + (patience or 0.0)
        while True:
            try:
                lacks = self._missing()
            except Unreachable as error:
                lines, status = [str(error)], _UNREACHABLE
            else:
                width = max((len(one.name) for one in lacks), default=0)
                lines = [f"{one.name:<{width}}  {one.state:<7}  {one.reason}" for one in lacks] or ["ready"]
                status = _NOT_READY if lacks else supervisorctl.LSBInitExitStatuses.SUCCESS
            if not status or time.monotonic() >= deadline:
                break
            time.sleep(_PAUSE_SECONDS)
        self._say(*lines)
        self.ctl.exitstatus = status

    def help_ready(self) -> None:
        """Print what ``ready`` does."""
        self._say(*_HELP["ready"])

    def _missing(self) -> list[ctl_answers.Missing]:
        summary: snapshot.Summary = self._asked("summary", snapshot.parse_summary)
        if summary.phase == snapshot.SEALED and not summary.waiting:
            return ctl_answers.missing_beside(str(self.ctl.options.serverurl))
        return ctl_answers.missing(summary, self._asked("snapshot", snapshot.parse))

    # --- why --------------------------------------------------------------------------------------------------

    def do_why(self, arg: str) -> None:
        """Say what is known of a program."""
        names = arg.split()
        if not names:
            self._refuse("why")
            return
        ledger = self._ledger()
        if ledger is None:
            return
        for name in names:
            view = ledger.program(name)
            if view is None:
                self._say(f"{name}: ERROR (no such process)")
                self.ctl.exitstatus = _NOT_READY
            else:
                self._say(*ctl_answers.told(view))

    def help_why(self) -> None:
        """Print what ``why`` does."""
        self._say(*_HELP["why"])

    # --- seal -------------------------------------------------------------------------------------------------

    def do_seal(self, arg: str) -> None:
        """Say whether this generation is sealed."""
        if arg.split():
            self._refuse("seal")
            return
        ledger = self._ledger()
        if ledger is None:
            return
        url = str(self.ctl.options.serverurl)
        lines, is_accepted = ctl_answers.sealed(ledger, ctl_answers.look_at_record(url))
        self._say(*lines)
        if not is_accepted:
            self.ctl.exitstatus = _NOT_READY

    def help_seal(self) -> None:
        """Print what ``seal`` does."""
        self._say(*_HELP["seal"])

    # --- the rim ----------------------------------------------------------------------------------------------

    def do_help(self, arg: str) -> None:
        """List the commands; a single one is the default plug-in's to explain, which would deny knowing it."""
        if not arg or not self._has_default:
            super().do_help(arg)

    def _refuse(self, command: str) -> None:
        self._say(f"Error: wrong arguments for {command}", *_HELP[command])
        self.ctl.exitstatus = _USAGE

    def _ledger(self) -> snapshot.Snapshot | None:
        """Return the ledger, or None when it was said why not."""
        try:
            ledger: snapshot.Snapshot = self._asked("snapshot", snapshot.parse)
        except Unreachable as error:
            self._say(str(error))
            self.ctl.exitstatus = _UNREACHABLE
            return None
        return ledger

    def _asked(self, method: str, parse: Callable[[bytes, str], Any]) -> Any:
        """Return what ``parse`` makes of the answer of ``bootseal.METHOD``; raises Unreachable."""
        url = str(self.ctl.options.serverurl)
        try:
            with _deadline():
                answer = getattr(self.ctl.get_server_proxy("bootseal"), method)()
            return parse(str(answer).encode(), url)
        except errors.InvalidRecord as error:
            raise Unreachable(error.what, error.why, "is this supervisorctl of the same bootseal?") from error
        except xmlrpclib.Fault as fault:
            _refused(url, fault)
        except xmlrpclib.ProtocolError as error:
            if error.errcode == http.HTTPStatus.UNAUTHORIZED:
                raise  # supervisorctl asks for the password
            raise Unreachable(url, f"it answered HTTP status {error.errcode}") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(url, _reason(error)) from error

    def _say(self, *lines: str) -> None:
        """Print ``lines``, whatever the terminal's encoding cannot show replaced."""
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        for line in lines:
            shown = "".join(one if one.isprintable() or one == "\t" else "?" for one in line)
            self.ctl.output(shown.encode(encoding, "replace").decode(encoding))


def _refused(url: str, fault: Any) -> NoReturn:
    if fault.faultCode == xmlrpc.Faults.UNKNOWN_METHOD:
        raise Unreachable(url, "this supervisord has no bootseal in it") from fault
    raise Unreachable(url, f"it refused: {fault.faultString}") from fault


def _reason(error: Exception) -> str:
    """Return ``error`` in supervisorctl's own words where it has some."""
    words = {errno.ENOENT: "no such file", errno.ECONNREFUSED: "refused connection"}
    if isinstance(error, TimeoutError):
        return f"no answer within {_CALL_SECONDS:g} s"
    if not isinstance(error, OSError):
        return f"its answer is no HTTP: {error!r}"
    return words.get(error.errno or 0, errors.describe_os_error(error))


@contextlib.contextmanager
def _deadline() -> Iterator[None]:
    """Give the sockets that are made meanwhile a timeout: supervisorctl's have none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_CALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _with_reason(stock: Any) -> Any:
    """Return supervisorctl's line for the result of a start so that a reason of ours is printed."""

    def startresult(result: dict[str, Any]) -> Any:
        text = str(result.get("description") or "")
        if result["status"] not in _REASONED or not text or _STOCK_TEXT.match(text):
            return stock(result)
        group, name = result["group"], result["name"]
        return f"{supervisorctl.make_namespec(group, name)}: ERROR ({text})"

    return startresult
