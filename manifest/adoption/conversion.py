"""What a manifest says instead of a process of supervisor's, key by key, and what it cannot say.

Rules
-----
* Pure: settings in, keys and remarks out. Whoever writes a manifest makes comments of the remarks, whoever imports findings.
* Every option that stands in the file is a key, a remark, or without any meaning of its own beside another that is.
* No remark shows the value of a command or of the environment.
"""

import dataclasses
import functools
import posixpath
import re
import shlex

from manifest import diagnostics, fields
from manifest.adoption import expansion, kinds, processes, shell, wording

_STANDARD = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/", "/proc/1/fd/", "/dev/tty", "/dev/console")
_LONGEST_SECONDS = 3600
_MOST_RETRIES = 1000
_MOST_UNKNOWN = 100
_LEGACY = frozenset({"log_stdout", "log_stderr", "logfile", "logfile_maxbytes", "logfile_backups"})


@dataclasses.dataclass(frozen=True)
class Converted:
    """What became of one process; ``why_not`` says why it is no program of the manifest, where it is none."""

    process: processes.Process
    keys: tuple[wording.Key, ...]
    remarks: tuple[wording.Remark, ...]
    why_not: str | None
    variables: tuple[str, ...]
    writable: str | None


def convert(process: processes.Process, *, may_use_shell: bool) -> Converted:
    """Return what a manifest says of ``process``; ``may_use_shell``: a shell carries what a list of words cannot."""
    work = _Work(process, may_use_shell)
    for problem in process.problems:
        work.remarks.append(
            wording.Remark(
                wording.REFUSED if problem.is_at_boot else wording.WRONG,
                problem.option,
                problem.why,
                problem.place,
                decide=True,
            )
        )
    for step in (
        work.unknown, work.command, work.user, work.ending, work.start, work.stop, work.output, work.order,
    ):  # fmt: skip
        step()
    kinds.fastcgi(work)
    kinds.listener(work)
    return Converted(
        process,
        tuple(work.keys),
        tuple(work.remarks),
        work.why_not,
        tuple(dict.fromkeys(work.variables)),
        work.writable,
    )


@functools.lru_cache(maxsize=1000)
def _nearest(name: str, kind: str) -> str | None:
    return diagnostics.nearest(name, processes.OPTIONS[kind])


class _Work(wording.Work):
    """The steps that every kind of process takes."""

    def unknown(self) -> None:
        """Say which options supervisor ignores."""
        known = processes.OPTIONS[self.process.section.kind]
        names = [name for name in self.process.section.options if name not in known]
        if self.process.index > 0:
            return  # said of the first
        if len(names) > _MOST_UNKNOWN:
            more = f"and {len(names) - _MOST_UNKNOWN} more options that supervisor does not know, and ignores"
            self.remark(wording.UNKNOWN, names[_MOST_UNKNOWN], more)
        for name in names[:_MOST_UNKNOWN]:
            nearest = _nearest(name, self.process.section.kind)
            meant = f" (perhaps {nearest} was meant)" if nearest else ""
            old = (
                "supervisor 3 and 4 do not have it any more, and ignore it"
                if name in _LEGACY
                else f"supervisor does not know it{meant}, and ignores it"
            )
            self.remark(wording.UNKNOWN, name, old)

    def command(self) -> None:
        """`command`, `environment`, `directory`, `umask`."""
        settings = self.settings
        variables = {name: text for name, text in settings.environment.items() if self._is_variable(name)}
        inherited = [name for name, text in variables.items() if expansion.pieces(text) == [expansion.Mark(name)]]
        self.variables += inherited
        at_boot = {
            name: text for name, text in variables.items() if expansion.is_marked(text) and name not in inherited
        }
        directory = self._directory()
        by_shell = directory if directory is not None and (expansion.is_marked(directory) or directory == "/") else None
        texts = (settings.command, *at_boot.values(), by_shell or "")
        if not self.may_use_shell:
            for option, text in (
                ("command", settings.command),
                ("environment", "".join(at_boot.values())),
                ("directory", by_shell),
            ):
                if text and (expansion.is_marked(text) or text == "/"):
                    why = "it is the root" if text == "/" else "what a variable holds is known at boot alone"
                    self.remark(wording.REFUSED, option, f"{why}: `bootseal adopt` writes a shell for it")
            if settings.umask is not None:
                self.remark(
                    wording.REFUSED,
                    "umask",
                    f"{self.shown('umask')}: a manifest has no umask; `bootseal adopt` writes a shell for it",
                )
        try:
            if self.may_use_shell:
                argv, is_shell = shell.command(settings.command, at_boot, by_shell, settings.umask)
            else:
                argv, is_shell = shlex.split(settings.command), False
        except ValueError as error:
            hint = "; a ; or # after a space begins a comment there, within quotes too"
            why = f"supervisor cannot take it apart: {str(error).lower()}{hint if self._is_cut() else ''}"
            self.remark(wording.WRONG, "command", why, decide=True)
            argv, is_shell = ["/bin/false"], False
        if not argv:
            if "command" in self.process.texts:
                self.remark(wording.WRONG, "command", "the command is empty", decide=True)
            argv = ["/bin/false"]
        self.key("command", ("command",), argv)
        if is_shell:
            self.remark(
                wording.INFO,
                "command",
                "a shell puts in what the boot alone knows, and then becomes the program; the image needs /bin/sh",
            )
        self.variables += [name for text in texts for name in expansion.variables(text)]
        if argv[0].count("/") and not argv[0].startswith("/"):
            self.remark(wording.INFO, "command", "its program is named relative to where it runs: write it from /")
        constant = {name: text for name, text in variables.items() if not expansion.is_marked(text)}
        if constant:
            self.key("environment", ("environment",), constant)
        if directory is not None and by_shell is None:
            self.key("directory", ("directory",), directory)

    def _is_cut(self) -> bool:
        """Say whether a comment seems to begin within the command."""
        place = self.place("command")
        line = place.file.lines[place.line - 1] if place.file and place.line <= len(place.file.lines) else ""
        return " ;" in line or " #" in line

    def _is_variable(self, name: str) -> bool:
        if re.fullmatch(fields.VARIABLE, name) and not name.startswith(fields.RESERVED_VARIABLES):
            return True
        why = "the name is reserved" if name.startswith(fields.RESERVED_VARIABLES) else "that is no name of a variable"
        self.remark(wording.REFUSED, "environment", f"{diagnostics.quote(name)}: {why}")
        return False

    def _directory(self) -> str | None:
        text = self.settings.directory
        if text is None or expansion.is_marked(text):
            return text
        if not text.startswith("/"):
            why = "it is relative to wherever supervisord was started"
            self.remark(wording.REFUSED, "directory", f"{self.shown('directory')}: {why}; write it from /", decide=True)
            return None
        return posixpath.normpath(text).replace("//", "/")

    def user(self) -> None:
        """`user`."""
        user = self.settings.user
        if user is None:
            return
        shown = self.shown("user")
        if user in {"root", "0"}:
            self.remark(wording.REFUSED, "user", f"{shown}: nothing runs as root here; it runs as the container's user")
            return
        why = "all programs run as the container's one user (`security.user`), or each as its own under `security.exceptions.program-users`"
        self.remark(wording.REFUSED, "user", f"{shown}: {why}")

    def ending(self) -> None:
        """`autorestart`, `exitcodes`."""
        settings = self.settings
        if settings.autorestart == "false":
            is_oneshot = settings.startsecs == 0 and self.process.section.kind == processes.PROGRAM
            if is_oneshot:
                self.key("autorestart", ("oneshot",), True)
                if set(settings.exitcodes) != {0}:
                    self.remark(wording.REFUSED, "exitcodes", f"{self.shown('exitcodes')}: a one-shot must exit 0")
            else:
                self.key("autorestart", ("on_exit",), "degrade")
                self.remark(
                    wording.INFO,
                    "autorestart",
                    "it stays down when it ends; one that ends by design is `oneshot: true`",
                )
        elif settings.autorestart == "unexpected" and (self.has("autorestart") or set(settings.exitcodes) != {0}):
            why = "an end with an expected code was final, and any end is followed by a restart here: see `on_exit`"
            self.remark(wording.LOST, "autorestart" if self.has("autorestart") else "exitcodes", why)

    def start(self) -> None:
        """`autostart`, `startsecs`, `startretries`."""
        settings = self.settings
        if not settings.autostart:
            self.why_not = "autostart=false: nothing started it but an operator, and what a manifest names is started"
            self.remark(
                wording.REFUSED, "autostart", "what a manifest names is started: leave the section out, or let it start"
            )
        is_oneshot = any(key.path == ("oneshot",) for key in self.keys)
        seconds = settings.startsecs
        if (
            self.has("startsecs")
            and seconds != 1
            and not is_oneshot
            and self.process.section.kind != processes.LISTENER
        ):
            if not 0 <= seconds <= _LONGEST_SECONDS:
                self.remark(wording.REFUSED, "startsecs", f"{self.shown('startsecs')}: a program is proven within 1h")
                seconds = min(max(seconds, 0), _LONGEST_SECONDS)
            self.key("startsecs", ("ready",), {"running": True, "for": f"{seconds}s"}, is_default=True)
        if self.has("startretries") and not is_oneshot:
            retries = settings.startretries
            if not 0 <= retries <= _MOST_RETRIES:
                self.remark(
                    wording.REFUSED, "startretries", f"{self.shown('startretries')}: at most {_MOST_RETRIES} here"
                )
            self.key("startretries", ("start_retries",), min(max(retries, 0), _MOST_RETRIES))

    def stop(self) -> None:
        """`stopsignal`, `stopwaitsecs`."""
        settings = self.settings
        if settings.stop_signal not in fields.SIGNALS:
            why = f"a program is stopped with {', '.join(fields.SIGNALS)}; it gets TERM"
            self.remark(wording.REFUSED, "stopsignal", f"{self.shown('stopsignal')}: {why}")
        elif settings.stop_signal != "TERM":
            self.key("stopsignal", ("stop", "signal"), settings.stop_signal)
        seconds = settings.stopwaitsecs
        if seconds != 10:
            if not 0 <= seconds <= _LONGEST_SECONDS:
                self.remark(wording.REFUSED, "stopwaitsecs", f"{self.shown('stopwaitsecs')}: at most 1h here")
                seconds = min(max(seconds, 0), _LONGEST_SECONDS)
            self.key("stopwaitsecs", ("stop", "timeout"), f"{seconds}s")

    def output(self) -> None:
        """`stdout_logfile` and its like."""
        if self.settings.redirects_stderr:
            self.remark(wording.INFO, "redirect_stderr", "its stderr goes to the container's stderr")
        for stream in ("stdout", "stderr"):
            option = f"{stream}_logfile"
            text = self.process.texts.get(option, "")
            if text.lower() in {"none", "off"} or text == "/dev/null":
                if not (stream == "stdout" and self.process.section.kind == processes.LISTENER):
                    self.remark(
                        wording.LOST,
                        option,
                        f"{self.shown(option)}: its {stream} is not dropped, it goes to the container's",
                    )
            elif text and text.lower() != "auto" and not text.startswith(_STANDARD):
                self.remark(
                    wording.LOST,
                    option,
                    f"{self.shown(option)}: no file is written, it goes to the container's {stream}",
                )
            if self.process.texts.get(f"{stream}_syslog", "").lower() in {"true", "yes", "on", "1"}:
                self.remark(wording.LOST, f"{stream}_syslog", f"its {stream} goes to the container's, not to syslog")
            if self.process.texts.get(f"{stream}_capture_maxbytes", "0").strip("0bBkKmMgG"):
                self.remark(
                    wording.LOST,
                    f"{stream}_capture_maxbytes",
                    "nothing is captured: no listener is told PROCESS_COMMUNICATION",
                )
        if self.has("serverurl"):
            self.remark(
                wording.LOST, "serverurl", "the address of supervisord's socket is told to event listeners alone"
            )

    def order(self) -> None:
        """`priority`."""
        if self.has("priority"):
            why = "nothing ever waited for it; what must be ready first stands in `after`"
            self.remark(wording.LOST, "priority", f"{self.shown('priority')}: {why}")
