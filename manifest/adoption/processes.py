"""Which processes supervisord would make of a configuration, and what it would know of each.

Rules
-----
* It is done as supervisor does it (4.3.0, ``process_groups_from_parser`` and ``_processes_from_section``), by supervisor's own
  readers of values; those of them that look at the machine (users, directories, result handlers) are left out.
* What supervisor refuses is a ``Problem`` at its place, and the value is then supervisor's default: all of them are found.
"""

import dataclasses
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from manifest import diagnostics, tree
from manifest.adoption import expansion, ini

PROGRAM, FASTCGI, LISTENER = "program", "fcgi-program", "eventlistener"
KINDS = (PROGRAM, FASTCGI, LISTENER)
GROUP = "group"
DEFAULT_HANDLER = "supervisor.dispatchers:default_handler"
_LOG = tuple(
    f"{stream}_{what}"
    for stream in ("stdout", "stderr")
    for what in ("logfile", "logfile_maxbytes", "logfile_backups", "capture_maxbytes", "events_enabled", "syslog")
)
_SHARED = (
    "process_name", "command", "numprocs", "numprocs_start", "priority", "autostart", "autorestart", "startsecs", "startretries",
    "exitcodes", "stopsignal", "stopwaitsecs", "stopasgroup", "killasgroup", "user", "redirect_stderr", "environment", "directory",
    "umask", "serverurl", *_LOG,
)  # fmt: skip
OPTIONS = {
    PROGRAM: frozenset(_SHARED),
    FASTCGI: frozenset((*_SHARED, "socket", "socket_backlog", "socket_owner", "socket_mode")),
    LISTENER: frozenset((*_SHARED, "events", "buffer_size", "result_handler")),
    GROUP: frozenset(("programs", "priority")),
}
"""The options that supervisor knows, by the kind of section."""
_MOST_PROCESSES = 1000
_MOST_TEXT = 2 * 1024 * 1024
"""Characters of all processes together: a manifest has at most 1 MiB."""
_MOST_STRANGERS = 100


@dataclasses.dataclass(frozen=True)
class Problem:
    """A value that supervisor refuses, or (``is_at_boot``) that only the boot of a container knows."""

    place: tree.Place
    option: str
    why: str
    is_at_boot: bool = False


@dataclasses.dataclass(frozen=True)
class Settings:
    """What supervisor knows of one process; texts may hold the marks of ``expansion``. ``written`` are the options that stand there.

    ``stop_signal`` is a name without SIG. ``autorestart`` is "true", "false" or "unexpected".
    """

    command: str
    directory: str | None
    environment: dict[str, str]
    autostart: bool
    autorestart: str
    startsecs: int
    startretries: int
    exitcodes: tuple[int, ...]
    stop_signal: str
    stopwaitsecs: int
    umask: str | None
    user: str | None
    priority: int
    redirects_stderr: bool
    events: tuple[str, ...]
    buffer_size: int | None
    result_handler: str
    socket: str
    socket_mode: str | None
    socket_backlog: int | None


@dataclasses.dataclass(frozen=True)
class Process:
    """One process: the ``section`` it comes from, its names, and the how-manieth of ``count`` it is."""

    section: ini.Section
    group: str
    name: str
    index: int
    count: int
    settings: Settings
    texts: Mapping[str, str]
    problems: tuple[Problem, ...]

    @property
    def full_name(self) -> str:
        """The name that ``supervisorctl`` gives it."""
        return self.name if self.name == self.group else f"{self.group}:{self.name}"


@dataclasses.dataclass(frozen=True)
class Found:
    """The processes, in the order of their sections, and what is wrong beside them."""

    processes: tuple[Process, ...]
    problems: tuple[Problem, ...]


def find(configuration: ini.Read, here: str, environment: Mapping[str, str]) -> Found:
    """Return the processes of ``configuration``; ``environment`` are the variables whose values are known."""
    from supervisor import datatypes

    problems: list[Problem] = []
    known: dict[str, str | int] = {"here": here, **{f"ENV_{name}": value for name, value in environment.items()}}
    shared: dict[str, str] = {}
    base = configuration.section("supervisord")
    if base is not None and "environment" in base.options:
        option = base.options["environment"]
        try:
            shared = dict(datatypes.dict_of_key_value_pairs(expansion.expand(option.text, known)))
        except (ValueError, expansion.CannotExpandError) as error:
            problems.append(Problem(option.place, option.name, _said(error, option)))
    known |= {f"ENV_{name}": value for name, value in shared.items()}
    groups = _groups(configuration, problems)
    processes: list[Process] = []
    size = 0
    for section in configuration.of_kind(*KINDS):
        for group in groups.get(section.title, [section.title]) if section.kind != LISTENER else [section.title]:
            for process in _of_section(section, group, known, shared, problems):
                size += _size(process)
                if len(processes) == _MOST_PROCESSES or size > _MOST_TEXT:
                    limit = f"{_MOST_PROCESSES} processes" if size <= _MOST_TEXT else f"{_MOST_TEXT} characters in all"
                    problems.append(Problem(section.place, "numprocs", f"more than {limit}: the rest is not read"))
                    return Found(tuple(processes), tuple(problems))
                processes.append(process)
    return Found(tuple(processes), tuple(problems))


def _size(process: Process) -> int:
    """Return how many characters a process says."""
    return sum(map(len, process.texts.values())) + sum(map(len, process.settings.environment.values()))


def _groups(configuration: ini.Read, problems: list[Problem]) -> dict[str, list[str]]:
    """Return the groups that each program is in."""
    from supervisor import datatypes

    titles = {section.title for section in configuration.of_kind(PROGRAM, FASTCGI)}
    groups: dict[str, list[str]] = {}
    for section in configuration.of_kind(GROUP):
        option = section.options.get("programs")
        members = datatypes.list_of_strings(option.text) if option else []
        if not members:
            problems.append(Problem(section.place, "programs", "the group names no programs"))
        strangers = 0
        for member in members:
            strangers += member not in titles
            if strangers > _MOST_STRANGERS:
                break
            if member in titles:
                groups.setdefault(member, []).append(section.title)
            else:
                place = option.place if option else section.place
                problems.append(
                    Problem(place, "programs", f"there is no program {diagnostics.quote(member)} for the group")
                )
    return groups


def _of_section(
    section: ini.Section,
    group: str,
    known: Mapping[str, str | int],
    shared: Mapping[str, str],
    problems: list[Problem],
) -> Iterator[Process]:
    """Give the processes of ``section`` in ``group``, one by one: there may be more than anybody wants."""
    reader = _Reader(section, {**known, "program_name": section.title, "group_name": group})
    start = reader.integer("numprocs_start", 0)
    count = reader.integer("numprocs", 1)
    if count > 1 and "%(process_num)" not in reader.raw("process_name"):
        reader.refuse("process_name", "with numprocs above 1 it must hold %(process_num)")
    if count < 1:
        problems.append(
            Problem(
                section.place,
                "numprocs",
                f"[{diagnostics.quote(section.name).strip('`')}] has {count} processes: it starts nothing",
            )
        )
    for index in range(min(max(count, 0), _MOST_PROCESSES + 1)):
        one = _Reader(section, {**reader.known, "process_num": start + index, "numprocs": count})
        settings = one.settings(shared)
        name = one.text("process_name", "%(program_name)s")
        for character in " :/":
            if character in name:
                one.refuse("process_name", f"a name holds no {character!r}")
        own = tuple(dict.fromkeys((*reader.problems, *one.problems)))
        yield Process(section, group, name, index, count, settings, one.texts, own)


class _Reader:
    """Reads the options of one section for one process."""

    def __init__(self, section: ini.Section, known: dict[str, str | int]) -> None:
        self.known = known
        self.problems: list[Problem] = []
        self.texts: dict[str, str] = {}
        self._section = section

    def raw(self, name: str) -> str:
        """Return the option as it was written, or nothing."""
        option = self._section.options.get(name)
        return option.text if option else ""

    def text(self, name: str, default: str = "") -> str:
        """Return the option with its expressions replaced."""
        option = self._section.options.get(name)
        text = default if option is None else option.text
        try:
            found = expansion.expand(text, self.known)
        except expansion.CannotExpandError as error:
            self.refuse(name, str(error))
            return ""
        if option is not None:
            self.texts[name] = found
        return found

    def value(self, name: str, default: str, read: Callable[[str], Any]) -> Any:
        """Return what ``read`` makes of the option; of ``default`` where that is not possible."""
        text = self.text(name, default)
        if expansion.is_marked(text):
            self.refuse(name, f"{expansion.shown(text)} is known at boot alone", is_at_boot=True)
            return read(default)
        try:
            return read(text)
        except ValueError as error:
            self.refuse(name, _said(error, self._section.options.get(name)))
            return read(default)

    def integer(self, name: str, default: int) -> int:
        """Return a number."""
        found: int = self.value(name, str(default), int)
        return found

    def refuse(self, name: str, why: str, *, is_at_boot: bool = False) -> None:
        """Remember that supervisor would refuse the option ``name``."""
        option = self._section.options.get(name)
        place = option.place if option else self._section.place
        self.problems.append(Problem(place, name, why, is_at_boot))

    def settings(self, shared: Mapping[str, str]) -> Settings:
        """Return all that there is to know, by supervisor's own readers."""
        from supervisor import datatypes

        own: dict[str, str] = {}
        try:
            own = dict(datatypes.dict_of_key_value_pairs(self.text("environment")))
        except ValueError as error:
            self.refuse("environment", _said(error, self._section.options.get("environment")))
        self.known = {**self.known, **{f"ENV_{name}": value for name, value in own.items()}}
        if "command" not in self._section.options:
            self.refuse("command", "the section has no command")
        is_group = self.value("stopasgroup", "false", datatypes.boolean)
        if is_group and not self.value("killasgroup", "true", datatypes.boolean):
            self.refuse("killasgroup", "stopasgroup=true and killasgroup=false exclude each other")
        restart = self.value("autorestart", "unexpected", datatypes.auto_restart)
        number = self.value("stopsignal", "TERM", datatypes.signal_number)
        for name in _LOG:
            self.text(name)
        return Settings(
            command=self.text("command"),
            directory=self.text("directory") or None,
            environment={**shared, **own},
            autostart=self.value("autostart", "true", datatypes.boolean),
            autorestart={
                datatypes.RestartUnconditionally: "true",
                datatypes.RestartWhenExitUnexpected: "unexpected",
            }.get(restart, "false"),
            startsecs=self.integer("startsecs", 1),
            startretries=self.integer("startretries", 3),
            exitcodes=tuple(self.value("exitcodes", "0", datatypes.list_of_exitcodes)),
            stop_signal=_signal_name(number),
            stopwaitsecs=self.integer("stopwaitsecs", 10),
            umask=self.value("umask", "", _octal),
            user=self.text("user") or None,
            priority=self.integer("priority", 999),
            redirects_stderr=self.value("redirect_stderr", "false", datatypes.boolean),
            events=tuple(one.upper() for one in datatypes.list_of_strings(self.text("events")) if one),
            buffer_size=self.value("buffer_size", "", lambda text: int(text) if text else None),
            result_handler=self.text("result_handler", DEFAULT_HANDLER),
            socket=self.text("socket"),
            socket_mode=self.value("socket_mode", "", _octal),
            socket_backlog=self.value("socket_backlog", "", lambda text: int(text) if text else None),
        )


def _signal_name(number: int) -> str:
    """Return the name of a signal; supervisor takes SIG_DFL and the like for signals, too."""
    known = {int(one): one.name.removeprefix("SIG") for one in signal.Signals}
    return known.get(number, "TERM")


def _octal(text: str) -> str | None:
    if not text:
        return None
    return f"{int(text, 8):04o}"


def _said(error: Exception, option: ini.Option | None) -> str:
    """Return why a value is refused, without the value where it may be a secret."""
    name = option.name if option else ""
    if name == "environment" and not isinstance(error, expansion.CannotExpandError):
        return 'its pairs cannot be read: they are NAME="value", with commas between'
    return str(error)
