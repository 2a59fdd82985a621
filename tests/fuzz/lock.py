"""Bytes for the reader of ``closures.lock``: it refuses them, or they are exactly what it would write."""

from artifacts import closure, lock
from contract import errors

_SHA256 = "ab" * 32
_ENTRIES = (
    closure.directory("./app", 0o755),
    closure.file("./app/m\u00e4in\udcff", 0o4755, 1234, _SHA256),
    closure.link("./app/now", "releases/7"),
    closure.file("/lib/libc.so.6", 0o644, 0, _SHA256),
)

SEEDS: list[bytes] = [
    b"",
    b"{}\n",
    lock.dump(closure.Lock(())),
    lock.dump(closure.Lock((closure.make("api", "tree", "./app", _ENTRIES),))),
    lock.dump(
        closure.Lock(
            (closure.make("a", "elf", "/lib/libc.so.6", _ENTRIES[3:]), closure.make("b", "node", ".", _ENTRIES))
        )
    ),
]


def test_one_input(data: bytes) -> None:
    """Raise only on a bug."""
    try:
        read = lock.parse(data, "lock")
    except errors.InvalidRecord:
        return
    if lock.dump(read) != data:
        raise AssertionError("it was read, and is not what would be written")
    for closed in read.closures:
        if not all(closure.is_normal(entry.path) for entry in closed.entries):
            raise AssertionError("a path is not normal")
