"""``closures.lock``: the closures that an image was built with, as one file. Standard library only: boot reads it.

Rules
-----
* A closure has exactly one form, one entry a line, so that the same closures are the same bytes and a difference reads well::

      {"schema": "bootseal.lock/1", "artifacts": {
      "api": {"kind": "tree", "path": "/opt/app", "sha256": "ROOT DIGEST", "entries": [
      ["./app","d","0755"],
      ["./app/main","f","0644",1234,"SHA-256"],
      ["./app/now","l","releases/7"]
      ]}
      }}

  It is JSON in ASCII and every line ends with a newline; a path's bytes that are no UTF-8 are the code points U+DC80 to U+DCFF.
* Whatever has another form is no lock: cut off, reformatted, out of order, twice, out of range, with another root digest.
* A refusal names the artifact and the path.
"""

import functools
import hashlib
import json
import operator
from collections.abc import Iterable, Iterator
from typing import Any

from artifacts import closure
from contract import errors, files
from manifest import provisions

SCHEMA = "bootseal.lock/1"
LIMIT = 64 * 1024 * 1024
REMEDY = "run `bootseal lock` and build the image again"

_HEAD = f'{{"schema": "{SCHEMA}", "artifacts": {{\n'
_END_OF_ENTRIES, _END = "\n]}", "\n}}\n"
_EMPTY = f"{_HEAD}}}}}\n"
_CHUNK = 128 * 1024
_LARGEST_FILE = 2**63 - 1
_LONGEST_PATH = 4096
"""PATH_MAX counts the final NUL, so no system call takes as many bytes."""
_DIGEST_LENGTH = 64
_MODES = {f"{mode:04o}": mode for mode in range(0o10000)}
_make = functools.partial(tuple.__new__, closure.Entry)
"""What Entry's own constructor does, in half the time."""
_quoted = json.encoder.encode_basestring_ascii


class _Malformed(Exception):
    """The bytes are no lock."""


def load(path: str, sha256: str) -> closure.Lock:
    """Return the closures in the file ``path``; raises InvalidRecord, also unless its SHA-256 is ``sha256``."""
    where = f"lock {path}"
    try:
        data = files.read_bounded(path, LIMIT)
    except OSError as error:
        why = f"it cannot be read: {errors.describe_os_error(error)}"
        raise errors.InvalidRecord(where, why, "build the image again") from error
    except errors.UnsafePath as error:
        raise errors.InvalidRecord(where, error.why, "build the image again") from error
    if data and hashlib.sha256(data).hexdigest() != sha256:
        raise errors.InvalidRecord(where, "it is not the one that the plan was built with", "build the image again")
    return parse(data, where)


def dump(lock: closure.Lock) -> bytes:
    """Return the file of ``lock``: the same closures, the same bytes."""
    ordered = sorted(lock.closures, key=lambda closed: closed.id)
    artifacts = (
        f"{_opening(closed)}{','.join(f'{chr(10)}{line}' for line in _lines(closed.entries))}{_END_OF_ENTRIES}"
        for closed in ordered
    )
    body = ",\n".join(artifacts)
    return (f"{_HEAD}{body}{_END}" if body else _EMPTY).encode("ascii")


def parse(data: bytes, where: str) -> closure.Lock:
    """Return the closures in ``data``; raises InvalidRecord naming ``where``."""
    try:
        if len(data) > LIMIT:
            raise _Malformed(f"it has {len(data)} bytes, more than the {LIMIT} allowed")
        if not data:
            raise _Malformed("it is empty")
        if not data.isascii():
            raise _Malformed("it is not ASCII")
        return _parse(data)
    except _Malformed as error:
        raise errors.InvalidRecord(where, str(error), REMEDY) from error


def _opening(closed: closure.Closure) -> str:
    return (
        f'{_quoted(closed.id)}: {{"kind": {_quoted(closed.kind)}, "path": {_quoted(closed.path)}, '
        f'"sha256": {_quoted(closed.sha256)}, "entries": ['
    )


def _lines(entries: Iterable[closure.Entry]) -> Iterator[str]:
    for path, type_, mode, size, sha256, target in entries:
        if type_ == closure.FILE:
            yield f'[{_quoted(path)},"f","{mode:04o}",{size},"{sha256}"]'
        elif type_ == closure.DIRECTORY:
            yield f'[{_quoted(path)},"d","{mode:04o}"]'
        else:
            yield f'[{_quoted(path)},"l",{_quoted(target)}]'


def _parse(data: bytes) -> closure.Lock:
    if not data.startswith(_HEAD.encode()):
        raise _Malformed(f"it does not begin as {SCHEMA} does")
    if data == _EMPTY.encode():
        return closure.Lock(())
    found: list[closure.Closure] = []
    position, last = len(_HEAD), b""
    while last != _END.encode():
        end_of_opening, end = _find(data, b"\n", position), _find(data, _END_OF_ENTRIES.encode(), position)
        closed = _closure(data, position, end_of_opening, end)
        if found and found[-1].id >= closed.id:
            raise _Malformed(f"artifact {_shown(closed.id)} is out of order")
        found.append(closed)
        position = end + len(_END_OF_ENTRIES)
        last = data[position : position + len(_END)]
        if last.startswith(b",\n"):
            position += len(",\n")
        elif last != _END.encode() or position + len(_END) != len(data):
            raise _Malformed(f"what follows artifact {_shown(closed.id)} is not as bootseal writes it")
    return closure.Lock(tuple(found))


def _closure(data: bytes, begin: int, end_of_opening: int, end: int) -> closure.Closure:
    opening = data[begin:end_of_opening].decode("ascii")
    try:
        [(name, content)] = _json(f"{{{opening}]}}}}").items()
        made = closure.Closure(name, content["kind"], content["path"], (), content["sha256"])
        if not name or _opening(made) != opening:
            raise ValueError
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise _Malformed("the line of an artifact is not as bootseal writes it") from error
    if made.kind not in provisions.ARTIFACT_KINDS:
        raise _Malformed(f"artifact {_shown(name)}: its kind {_shown(made.kind)} is unknown")
    _path_bytes(made.path)
    try:
        entries = tuple(_entries(data, end_of_opening + 1, end))
    except _Malformed as error:
        raise _Malformed(f"artifact {_shown(name)}: {error}") from error
    if closure.root_digest(entries) != made.sha256:
        raise _Malformed(f"artifact {_shown(name)}: its root digest is not that of its entries")
    return closure.Closure(name, made.kind, made.path, entries, made.sha256)


def _entries(data: bytes, begin: int, end: int) -> Iterator[closure.Entry]:
    """Yield the entries whose lines lie from ``begin`` to ``end``: in chunks, because all at once take four times the memory."""
    before = b""
    while begin <= end:
        cut = data.find(b",\n", begin + _CHUNK, end)
        if cut < 0:
            cut = end
        text = data[begin:cut].decode("ascii")
        try:
            entries = [_entry(item) for item in _json_list(text)]
            is_canonical = ",\n".join(_lines(entries)) == text
        except (TypeError, ValueError, LookupError) as error:
            raise _Malformed("an entry is not as bootseal writes it") from error
        if not is_canonical:
            raise _Malformed("an entry is not as bootseal writes it")
        before = _check(entries, before)
        yield from entries
        begin = cut + len(",\n")


def _entry(item: list[Any]) -> closure.Entry:
    """Return the entry that was written as ``item``; what is not of its type does not survive `_lines`, but a float would."""
    if item[1] == closure.FILE:
        path, _, mode, size, sha256 = item
        if type(size) is not int or len(sha256) != _DIGEST_LENGTH:
            raise ValueError
        return _make((path, closure.FILE, _MODES[mode], size, sha256, ""))
    path, type_, field = item
    if type_ == closure.DIRECTORY:
        return closure.Entry(path, closure.DIRECTORY, _MODES[field], 0, "", "")
    return closure.Entry(path, closure.LINK, 0, 0, "", field)


def _check(entries: list[closure.Entry], before: bytes) -> bytes:
    """Raise _Malformed unless the values are in range and the paths normal and in order after ``before``; return the last path.

    Whole columns are looked at first, because 50,000 times anything is time that boot waits for.
    """
    paths = [entry.path for entry in entries]
    joined = "\0".join(paths) + "\0"
    columns_are_good = (
        joined.isascii()
        and joined.count("\0") == len(paths)
        and not any(part in joined for part in ("//", "/./", "/../", "/\0", "/.\0", "/..\0"))
        and max(map(len, paths)) < _LONGEST_PATH
        and joined.startswith(("/", "./"))
        and joined.count("\0/") + joined.count("\0./") == len(paths) - 1
        and all(map(operator.lt, paths, paths[1:]))
        and before < paths[0].encode()
    )
    if not columns_are_good:
        for entry in entries:
            raw = _path_bytes(entry.path)
            if raw <= before:
                raise _Malformed(f"{_shown(entry.path)} is out of order")
            before = raw
    for entry in entries:
        if entry.type == closure.LINK:
            if not _bytes(entry.target) or "\0" in entry.target:
                raise _Malformed(f"{_shown(entry.path)} has no target")
        elif not 0 <= entry.size <= _LARGEST_FILE:
            raise _Malformed(f"the size of {_shown(entry.path)} is out of range")
    if "".join([entry.sha256 for entry in entries]).encode().translate(None, b"0123456789abcdef"):
        raise _Malformed("a digest is not hexadecimal")
    return paths[-1].encode("utf-8", "surrogateescape")


def _path_bytes(path: str) -> bytes:
    raw = _bytes(path)
    if not closure.is_normal(path) or len(raw) >= _LONGEST_PATH:
        raise _Malformed(f"{_shown(path)} is no path of a closure")
    return raw


def _bytes(text: str) -> bytes:
    try:
        raw = closure.as_bytes(text)
    except UnicodeEncodeError as error:
        raise _Malformed(f"{_shown(text)} holds half a surrogate pair") from error
    if not text.isascii() and raw.decode("utf-8", "surrogateescape") != text:
        raise _Malformed(f"{_shown(text)} is written in two ways")  # bytes that are UTF-8, and escaped in spite of it
    return raw


def _json_list(text: str) -> list[Any]:
    items = _json(f"[{text}]")
    if not isinstance(items, list) or not items:
        raise ValueError
    return items


def _find(data: bytes, what: bytes, begin: int) -> int:
    position = data.find(what, begin)
    if position < 0:
        raise _Malformed("it is cut off")
    return position


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _Malformed(f"it is no JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise _Malformed("it is no JSON that bootseal writes") from error


def _shown(text: str) -> str:
    """Return ``text`` as it may be printed: bounded, and without what a terminal or a log would act on."""
    return text[:200] if text[:200].isprintable() else ascii(text[:200])[1:-1]
