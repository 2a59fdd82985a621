"""The other end of PID 1's feed: its messages, the subscription, our verdicts, and reading the whole ledger besides.

Rules
-----
* The first line sent is ``hello.line()``, and only when the listeners accept: PID 1 takes it as the word that the probes
  are live.
* A line is at most 16 MiB. One that is too long or does not decode ends the connection: what follows it is not trusted.
* The connection may end at any time (a reload, a new generation, too slow a reader): it is made again for ever, after a
  pause that doubles from 50 ms to one second.
* Verdicts go out over the same connection, and only after the first whole ledger came in: what stands then is told again,
  and nothing of a process that the ledger does not show any more. PID 1 that does not read holds up nothing here.
* That the container stops is acknowledged once it was taken: from then on /ready is 503, and PID 1 begins to stop programs.
* A message that says that something was missed makes the re-reader ask at once; it asks every two seconds anyway, so that
  a lost message or a silent feed is not the last word.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import socket
from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

from contract import clock, errors, snapshot
from probes import hello
from probes.checks import outbox

LINE_LIMIT = 16 * 1024 * 1024
REREAD_SECONDS = 2.0
REREAD_TIMEOUT_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Whole:
    """The whole ledger."""

    ledger: snapshot.Snapshot


@dataclasses.dataclass(frozen=True)
class Change:
    """The ledger with only the programs that changed after revision ``after``."""

    after: int
    ledger: snapshot.Snapshot


@dataclasses.dataclass(frozen=True)
class Beat:
    """PID 1 lives, and its ledger is at ``revision``."""

    revision: int


@dataclasses.dataclass(frozen=True)
class Unknown:
    """A message of a kind that this version does not know: PID 1 lives, and nothing else."""


Message = Whole | Change | Beat | Unknown


def decode(line: bytes) -> Message:
    """Return the message in ``line``; raises InvalidRecord."""
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidRecord("feed", "a line of PID 1 is no JSON") from error
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise errors.InvalidRecord("feed", "a line of PID 1 has no type")
    match value:
        case {"type": "snapshot", "snapshot": dict(whole)}:
            return Whole(snapshot.from_json(whole, "feed"))
        case {"type": "change", "after": int(after), "snapshot": dict(part)}:
            return Change(after, snapshot.from_json(part, "feed"))
        case {"type": "beat", "revision": int(revision)}:
            return Beat(revision)
        case {"type": "snapshot" | "change" | "beat" as kind}:
            raise errors.InvalidRecord("feed", f"a {kind} of PID 1 is incomplete")
    return Unknown()


async def follow(
    path: str,
    take: Callable[[Message], None],
    first: socket.socket | None = None,
    verdicts: outbox.Outbox | None = None,
) -> None:
    """Subscribe at ``path``, give each message to ``take`` and send ``verdicts``, for ever; ``first`` is subscribed already."""
    verdicts = verdicts or outbox.Outbox()
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            async with contextlib.aclosing(_messages(path, first, verdicts)) as messages:
                async for message in messages:
                    pause = _FIRST_PAUSE_SECONDS
                    take(message)
        except OSError as error:
            _log.debug("feed %s: %s", path, errors.describe_os_error(error))
        except errors.BootsealError as error:
            _log.warning("%s; the connection is made again", error)
        first = None
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


async def _messages(
    path: str, subscribed: socket.socket | None, verdicts: outbox.Outbox
) -> AsyncGenerator[Message, None]:
    """Yield the messages of one connection; raises OSError or InvalidRecord, ends with it."""
    if subscribed is not None:
        reader, writer = await asyncio.open_unix_connection(sock=subscribed, limit=LINE_LIMIT)
    else:
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_LIMIT)
    sender: asyncio.Task[None] | None = None
    try:
        if subscribed is None:
            writer.write(hello.line())
        while True:
            try:
                line = await reader.readline()
            except ValueError as error:  # StreamReader.readline: the limit was passed
                raise errors.InvalidRecord("feed", f"a line of PID 1 is longer than {LINE_LIMIT} bytes") from error
            if not line.endswith(b"\n"):
                return
            message = decode(line)
            yield message
            if isinstance(message, Whole | Change) and message.ledger.phase == snapshot.STOPPING:
                writer.write(hello.STOPPING_SEEN)
            if sender is None and isinstance(message, Whole):
                sender = asyncio.get_running_loop().create_task(_send(verdicts, writer))
    finally:
        if sender is not None:
            sender.cancel()
        writer.close()


async def _send(verdicts: outbox.Outbox, writer: asyncio.StreamWriter) -> None:
    """Send ``verdicts`` until the connection ends; what waits for PID 1 to read waits in there, where newer replace older."""
    writer.transport.set_write_buffer_limits(high=0)
    verdicts.begin_again()
    with contextlib.suppress(OSError):  # the connection ended, and the reader says so
        while True:
            writer.write(await verdicts.take())
            await writer.drain()


class Reads(Protocol):
    """What can be asked for the whole ledger: ``supervisord.client.Client``."""

    def snapshot(self, *, timeout_seconds: float) -> snapshot.Snapshot:
        """Return the ledger; raises BootsealError or OSError."""


class Reread:
    """Reads the whole ledger over supervisor's own socket; ``read`` blocks and belongs into one thread."""

    def __init__(self, calls: Reads, tell: Callable[[snapshot.Snapshot, float], None]) -> None:
        """``tell`` learns each ledger with the monotonic moment at which it was asked for: it is no younger."""
        self._calls = calls
        self._tell = tell

    def read(self) -> None:
        """Read once; no answer is no news, and the age of the ledger tells it."""
        asked = clock.monotonic()
        with contextlib.suppress(OSError, errors.BootsealError):
            self._tell(self._calls.snapshot(timeout_seconds=REREAD_TIMEOUT_SECONDS), asked)
