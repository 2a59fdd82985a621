"""The sd_notify protocol: what one datagram says. Pure; sd_notify(3) of systemd 255 is the source.

Rules
-----
* A datagram is lines of ``KEY=value``. Of a key that stands twice the last counts; unknown keys are ignored.
* STOPPING=1 wins over READY=1, and that over RELOADING=1: who says both is through with reloading.
* BARRIER=1 stands alone; whatever is said beside it is ignored.
* A datagram with a NUL byte inside, or without any assignment, says nothing. A value that is no value takes only its own
  line away. Each leaves a fault: why, in words, without the value, which nobody vouches for.
* Numbers are plain decimal digits; durations lie between 1 µs and 24 h.
"""

import dataclasses
import re

READY, RELOADING, STOPPING = "READY", "RELOADING", "STOPPING"
ALIVE, ALARMED = "alive", "alarmed"
STATUS_LIMIT = 256
DURATION_LIMIT_SECONDS = 24 * 3600.0
_PID_LIMIT = 1 << 22
"""The kernel's highest pid, PID_MAX_LIMIT (proc_sys_kernel(5))."""
_KEY = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_DIGITS = re.compile(rb"[0-9]{1,20}")
_MICROSECONDS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Message:
    """What a datagram says; None where it says nothing of it.

    ``status`` is as it was said: who shows it hides its secrets before ``clean`` cuts it. ``state`` is READY, RELOADING or STOPPING; ``watchdog`` is ALIVE or ALARMED; ``faults`` say what was ignored and why.
    """

    state: str | None = None
    status: str | None = None
    main_pid: int | None = None
    extend_seconds: float | None = None
    watchdog: str | None = None
    watchdog_seconds: float | None = None
    is_barrier: bool = False
    faults: tuple[str, ...] = ()


def parse(data: bytes) -> Message:
    """Return what the datagram ``data`` says; never raises, whatever the bytes are."""
    if b"\0" in data[:-1]:
        return Message(faults=("it holds a NUL byte",))
    fields = _fields(data.removesuffix(b"\0"))
    if not fields:
        return Message(faults=("it holds no assignment",))
    if fields.get(b"BARRIER") == b"1":
        is_alone = len(fields) == 1
        return Message(is_barrier=True, faults=() if is_alone else ("what is said beside BARRIER=1 is ignored",))
    faults: list[str] = []
    return Message(
        state=next((state for state in (STOPPING, READY, RELOADING) if fields.get(state.encode()) == b"1"), None),
        status=_status(fields, faults),
        main_pid=_number(fields, b"MAINPID", _PID_LIMIT, faults),
        extend_seconds=_duration(fields, b"EXTEND_TIMEOUT_USEC", faults),
        watchdog={b"1": ALIVE, b"trigger": ALARMED}.get(fields.get(b"WATCHDOG", b"")),
        watchdog_seconds=_duration(fields, b"WATCHDOG_USEC", faults),
        faults=tuple(faults),
    )


def clean(text: str) -> str:
    """Return ``text`` fit for one line of a log: ``one_line`` of at most STATUS_LIMIT characters."""
    return one_line(text)[:STATUS_LIMIT].rstrip()


def one_line(text: str) -> str:
    """Return ``text`` printable and with single spaces."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())


def _fields(data: bytes) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for line in data.split(b"\n"):
        key, separator, value = line.partition(b"=")
        if separator and _KEY.fullmatch(key):
            fields[key] = value
    return fields


def _status(fields: dict[bytes, bytes], faults: list[str]) -> str | None:
    value = fields.get(b"STATUS")
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        faults.append("STATUS is not UTF-8")
        return None


def _number(fields: dict[bytes, bytes], key: bytes, limit: int, faults: list[str]) -> int | None:
    value = fields.get(key)
    if value is None:
        return None
    number = int(value) if _DIGITS.fullmatch(value) else 0
    if 1 <= number <= limit:
        return number
    faults.append(f"{key.decode()} is not a number from 1 to {limit}")
    return None


def _duration(fields: dict[bytes, bytes], key: bytes, faults: list[str]) -> float | None:
    number = _number(fields, key, int(DURATION_LIMIT_SECONDS) * _MICROSECONDS, faults)
    return None if number is None else number / _MICROSECONDS
