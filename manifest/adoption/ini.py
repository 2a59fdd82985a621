"""A configuration of supervisor's, as supervisor's own parser reads it: sections, options, and where each was written.

Rules
-----
* The parser is supervisor's (``UnhosedConfigParser``); this module only remembers lines. So spacing, comments, continuation
  lines, duplicate sections and ``[DEFAULT]`` are what they are to supervisord.
* ``[include]`` is followed as supervisord does: the patterns of the first file alone, sorted, later files over earlier ones.
  ``%(here)s`` is the directory of the file it stands in.
* Files are regular ones of at most SIZE_LIMIT bytes; reading never blocks. They are UTF-8; a byte-order mark and Latin-1, which
  supervisord refuses, are read and noted.
"""

import configparser
import dataclasses
import glob
import io
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import Any

from contract import errors
from manifest import tree

SIZE_LIMIT = 1024 * 1024
_FILES = 500
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_BOM = b"\xef\xbb\xbf"
_HERE = "%(here)s"
_BLANKS = re.compile(r"(?m)^(?![^\S\n]*[#;]).*?\S([^\S\n]{200,})\S")
"""The parser's own expression takes a time that grows with the square of them (``RawConfigParser.OPTCRE``)."""


class CannotBeRead(errors.BootsealError):
    """A file that cannot be read at all."""


class NotIni(errors.BootsealError):
    """A file that supervisor's parser refuses, at ``place``."""

    def __init__(self, what: str, why: str, remedy: str, place: tree.Place | None) -> None:
        super().__init__(what, why, remedy)
        self.place = place


@dataclasses.dataclass(frozen=True)
class Option:
    """One option: its text as supervisor has it, ``%(here)s`` replaced, and where it was written."""

    name: str
    text: str
    place: tree.Place
    names_here: bool = False


@dataclasses.dataclass(frozen=True)
class Section:
    """One section: ``kind`` is what stands before the colon, ``title`` what stands behind it."""

    name: str
    options: dict[str, Option]
    place: tree.Place

    @property
    def kind(self) -> str:
        """The word before the colon."""
        return self.name.partition(":")[0]

    @property
    def title(self) -> str:
        """The name behind the colon."""
        return self.name.partition(":")[2].strip()


@dataclasses.dataclass(frozen=True)
class Read:
    """What was read: sections in the order in which they were first written, the files, and what was odd about them."""

    sections: tuple[Section, ...]
    files: tuple[tuple[str, bytes], ...]
    oddities: tuple[tuple[tree.Place, str], ...]

    def of_kind(self, *kinds: str) -> tuple[Section, ...]:
        """Return the sections of ``kinds``."""
        return tuple(section for section in self.sections if section.kind in kinds)

    def section(self, name: str) -> Section | None:
        """Return the section ``name``, or None."""
        return next((section for section in self.sections if section.name == name), None)


def read(path: str, *, follows_includes: bool, here: str | None = None, expand: Callable[[str], str] = str) -> Read:
    """Return what the configuration ``path`` says, with what it includes where ``follows_includes`` says so.

    ``here`` stands for the directory of ``path``, by default what it is; ``expand`` replaces the expressions of `files`.

    Raises CannotBeRead or NotIni.
    """
    reader = _Reader()
    reader.take(path, here or os.path.dirname(os.path.abspath(path)))
    include = reader.option("include", "files")
    if follows_includes and include is not None:
        base = os.path.dirname(os.path.abspath(path))
        for pattern in expand(include.text).split():
            found = sorted(itertools.islice(glob.iglob(os.path.join(base, pattern)), _FILES + 1))
            if not found:
                reader.oddities.append((include.place, f"no file matches {pattern}: supervisord goes on without it"))
            for one in found:
                folder = os.path.dirname(os.path.abspath(one))
                reader.take(one, folder if here is None else _moved(folder, base, here))
    return Read(tuple(reader.sections()), tuple(reader.files), tuple(reader.oddities))


def _moved(folder: str, base: str, here: str) -> str:
    """Return where ``folder`` will be when ``base`` is ``here``; what lies elsewhere stays."""
    return os.path.normpath(os.path.join(here, os.path.relpath(folder, base))) if _is_below(folder, base) else folder


def _is_below(folder: str, base: str) -> bool:
    return folder == base or folder.startswith(f"{base}/")


class _Lines(io.StringIO):
    """A file that knows which line the parser took last."""

    number = 0

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        for line in io.StringIO(self.getvalue()):
            self.number += 1
            yield line


class _Reader:
    """Reads files into one of supervisor's parsers."""

    def __init__(self) -> None:
        from supervisor import options  # the parser alone; it is costly, and only these commands need it

        reader = self

        class Placed(dict[str, Any]):
            """What the parser keeps sections and options in; a list is what it has just read of an option."""

            def __setitem__(self, key: str, value: Any) -> None:
                if isinstance(value, list) and reader._file is not None:
                    reader._places[id(self), key] = reader._place(key)
                elif isinstance(value, Placed) and value is not self:
                    reader._begun.setdefault(key, reader._place(f"[{key}]"))
                super().__setitem__(key, value)

        self.files: list[tuple[str, bytes]] = []
        self.oddities: list[tuple[tree.Place, str]] = []
        self._parser: Any = options.UnhosedConfigParser(dict_type=Placed)
        self._places: dict[tuple[int, str], tree.Place] = {}
        self._begun: dict[str, tree.Place] = {}
        self._here: dict[tree.Place, bool] = {}
        self._file: tree.File | None = None
        self._lines = _Lines()

    def take(self, path: str, here: str) -> None:
        """Read ``path``, whose expressions mean ``here``."""
        if len(self.files) >= _FILES:
            raise CannotBeRead(path, f"it is one of more than {_FILES} included files", "name fewer under [include]")
        data = _bytes(path)
        self.files.append((path, data))
        text = self._text(path, data)
        self._lines = _Lines(text)
        self._file = tree.File(path, tuple(text.split("\n")))
        before = dict(self._places)
        if (blanks := _BLANKS.search(text)) is not None:
            number = text.count("\n", 0, blanks.start(1)) + 1
            raise self._not_ini(number, "it has hundreds of blanks in a row", "remove them")
        try:
            self._parser.read_file(self._lines, path)
        except configparser.MissingSectionHeaderError as error:
            raise self._not_ini(error.lineno, "it is an option before any section") from error
        except configparser.ParsingError as error:
            line = error.errors[0][0]
            raise self._not_ini(line, "it is neither a section, an option nor a comment") from error
        except configparser.Error as error:
            raise self._not_ini(self._lines.number, error.message.splitlines()[0]) from error
        self._replace_here(here, before)

    def _replace_here(self, here: str, before: dict[tuple[int, str], tree.Place]) -> None:
        for options in (*self._parser._sections.values(), self._parser._defaults):
            for name, text in list(options.items()):
                place = self._places.get((id(options), name))
                if place is not None and before.get((id(options), name)) != place and _HERE in (text or ""):
                    self._here[place] = True
                    options[name] = text.replace(_HERE, here)

    def option(self, section: str, name: str) -> Option | None:
        """Return one option, or None."""
        found = next((one for one in self.sections() if one.name == section), None)
        return None if found is None else found.options.get(name)

    def sections(self) -> Iterator[Section]:
        """Give the sections, each with the defaults of ``[DEFAULT]``."""
        defaults = self._parser._defaults
        for name in self._parser.sections():
            own = self._parser._sections[name]
            place = self._begun.get(name, tree.Place(1, 1))
            options = {}
            for holder in (defaults, own):
                for key, text in holder.items():
                    where = self._places.get((id(holder), key), place)
                    options[key] = Option(key, text or "", where, self._here.get(where, False))
            yield Section(name, options, place)

    def _place(self, key: str) -> tree.Place:
        if self._file is None:
            return tree.Place(1, 1)
        number = max(self._lines.number, 1)
        line = self._file.lines[number - 1] if number <= len(self._file.lines) else ""
        return tree.Place(number, len(line) - len(line.lstrip()) + 1, len(key), self._file)

    def _not_ini(self, number: int, why: str, remedy: str = "supervisord refuses it, too") -> NotIni:
        lines = self._file.lines if self._file else ()
        line = lines[number - 1] if 0 < number <= len(lines) else ""
        path = self._file.path if self._file else ""
        place = tree.Place(number, 1, max(len(line), 1), self._file)
        return NotIni(f"{path}:{number}", why, remedy, place)

    def _text(self, path: str, data: bytes) -> str:
        place = tree.Place(1, 1, 1, tree.File(path, ()))
        if data.startswith(_BOM):
            self.oddities.append((place, "it begins with a byte-order mark, with which supervisord does not start"))
        data = data.removeprefix(_BOM)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            self.oddities.append((place, "it is not UTF-8, with which supervisord does not start: read as Latin-1"))
            text = data.decode("latin-1")
        if "\0" in text:
            raise CannotBeRead(path, "it holds a NUL byte, and so is no text", "name a configuration of supervisor's")
        return text.replace("\r\n", "\n").replace("\r", "\n")


def _bytes(path: str) -> bytes:
    """Return the content of the regular file ``path``; raises CannotBeRead."""
    remedy = "name a configuration of supervisor's"
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a device can be to use it
            raise CannotBeRead(path, "it is no regular file", remedy)
        fd = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        why = errors.describe_os_error(error) if isinstance(error, OSError) else str(error)
        raise CannotBeRead(path, why, remedy) from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise CannotBeRead(path, "it is no regular file", remedy)
        data = b""
        while len(data) <= SIZE_LIMIT and (chunk := os.read(fd, SIZE_LIMIT + 1)):
            data += chunk
    except OSError as error:
        raise CannotBeRead(path, errors.describe_os_error(error), remedy) from error
    finally:
        os.close(fd)
    if len(data) > SIZE_LIMIT:
        raise CannotBeRead(path, f"it has more than {SIZE_LIMIT} bytes", remedy)
    return data
