"""The boot's events in memory, for as long as somebody listens: one reader of the journal for all listeners.

Rules
-----
* With the first listener the journal is read from its beginning, then looked at every ``LOOK_SECONDS``; with the last one that
  leaves, all of it is forgotten. Reading is done in a thread.
* A listener is a position among the frames, nothing more: none has a queue, and none holds up another. Frames of more than
  ``FRAMES_LIMIT`` bytes together are forgotten, the oldest first; a listener that was to get one of them next is too slow.
* A listener that resumes after a cursor which nobody knows any more is told so by a gap, and gets everything there is. So is every
  listener when the journal itself was replaced or cannot be read.
* At most ``LISTENERS_LIMIT`` listen. When the tail is closed it looks once more, and all leave with what was there.
"""

import asyncio
import collections
import contextlib
import dataclasses
import functools
import itertools
import json
import logging
import re
from collections.abc import AsyncGenerator, Iterator

from contract import errors, journal
from probes import detached

LOOK_SECONDS = 0.15
LISTENERS_LIMIT = 32
FRAMES_LIMIT = 4 * 1024 * 1024
_PAGE = 250
_BATCH_BYTES = 64 * 1024
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}", re.ASCII)

_log = logging.getLogger(__name__)


GAP = "gap"


@dataclasses.dataclass(frozen=True)
class Frame:
    """One event: the cursor behind it, its name, and its line of JSON. A gap has no cursor, and says why in its line."""

    cursor: str
    event: str
    line: bytes


def gap(reason: str) -> Frame:
    """Return the frame that tells a listener that it may have missed something."""
    return Frame("", GAP, json.dumps({"event": GAP, "reason": reason}).encode())


LOST = gap("the place to go on from is not known any more: all events that are kept follow, and some may be missing")


class TooManyListeners(errors.BootsealError):
    """Nobody more is let in."""


class TooSlow(errors.BootsealError):
    """A listener takes less than comes."""


class Tail:
    """The events of one boot; everything but reading happens in the event loop."""

    def __init__(self, path: str, boot_id: str) -> None:
        """Read the journal ``path`` once somebody listens."""
        self._path = path
        self._boot_id = boot_id
        self._frames: collections.deque[Frame] = collections.deque()
        self._bytes = 0
        self._first = 0
        self._begun = self._ended = self._awaited = 0
        self._trouble = ""
        self._news = asyncio.Event()
        self._due = asyncio.Event()
        self._listeners = 0
        self._reader: asyncio.Task[None] | None = None
        self._last: int | None = None

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return self._listeners

    def close(self) -> None:
        """Look once more, then let every listener go; who comes later gets what there is."""
        self._last = self._awaited = self._begun + 1
        self._due.set()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Take a listener's place; raises TooManyListeners."""
        if self._listeners >= LISTENERS_LIMIT:
            raise TooManyListeners("events", f"{LISTENERS_LIMIT} clients listen already", "ask again later")
        self._listeners += 1
        try:
            if self._reader is None:
                self._reader = asyncio.create_task(self._read_on())
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._forget()

    async def batches(self, after: str, *, follow: bool, beat_seconds: float) -> AsyncGenerator[list[Frame]]:
        """Yield the frames after the cursor ``after`` ("" is the beginning) to who has a place; ends when the tail is closed.

        Without ``follow`` it ends after what was there when it was asked for. A batch is empty when there was nothing for
        ``beat_seconds``. Raises TooSlow.
        """
        wanted = self._awaited = self._begun + 1
        self._due.set()
        while self._ended < wanted:
            await self._wait(beat_seconds)
        position, is_gap = self._find(after)
        if is_gap:
            yield [LOST]
        while True:
            if position < self._first:
                raise TooSlow("events", "a client takes less than comes")
            batch = self._batch(position)
            position += len(batch)
            if batch:
                yield batch
            elif not follow or (self._last is not None and self._ended >= self._last):
                return
            elif not await self._wait(beat_seconds):
                yield []

    async def _wait(self, seconds: float) -> bool:
        """Return True at the next news, and False when there was none for ``seconds``."""
        news = self._news
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await news.wait()
        return news.is_set()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _find(self, after: str) -> tuple[int, bool]:
        """Return the position behind the cursor ``after``, and whether it is not known."""
        if not after:
            return self._first, False
        cursors = [frame.cursor for frame in self._frames]
        for wanted, known in ((after, cursors), (journal.newest(after), list(map(journal.newest, cursors)))):
            for index in reversed(range(len(known))):
                if known[index] and known[index] == wanted:
                    return self._first + index + 1, False
        return self._first, True

    def _batch(self, position: int) -> list[Frame]:
        """Return the frames from ``position`` on, as many as go out at once."""
        batch: list[Frame] = []
        length = 0
        for frame in itertools.islice(self._frames, position - self._first, None):
            length += len(frame.line)
            if batch and length > _BATCH_BYTES:
                break
            batch.append(frame)
        return batch

    async def _read_on(self) -> None:
        """Read what there is, then what comes, until cancelled; no other task reads."""
        cursor, is_behind = "", False
        while True:
            self._due.clear()
            self._begun += 0 if is_behind else 1
            more: list[Frame] = []
            try:
                more, cursor, is_gap = await detached.call("events", functools.partial(self._read, cursor))
            except Exception as error:  # a file system, a mount: it may come back
                self._report(error)
            else:
                self._trouble = ""
                if is_gap:
                    self._drop(len(self._frames))
                    self._append([LOST])
                self._append(more)
            is_behind = len(more) >= _PAGE
            if not is_behind:
                await self._rest()

    async def _rest(self) -> None:
        """Tell whoever waits for this look that it ended, and wait until the next is due."""
        self._ended, was = self._begun, self._ended
        if was != self._ended and self._awaited > was:
            self._tell()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._due.wait()

    def _read(self, cursor: str) -> tuple[list[Frame], str, bool]:
        reading = journal.read(self._path, self._boot_id, cursor, _PAGE)
        frames = [Frame(entry.cursor, _name(entry.event.get("event")), entry.line) for entry in reading.entries]
        return frames, reading.cursor, reading.is_gap

    def _append(self, frames: list[Frame]) -> None:
        self._frames.extend(frames)
        self._bytes += sum(len(frame.line) for frame in frames)
        while self._bytes > FRAMES_LIMIT:
            self._drop(1)
        if frames:
            self._tell()

    def _drop(self, count: int) -> None:
        """Forget the oldest ``count`` frames."""
        for _ in range(count):
            self._bytes -= len(self._frames.popleft().line)
        self._first += count

    def _report(self, error: Exception) -> None:
        """Tell, once, that the journal cannot be read: nobody shall take silence for peace."""
        match error:
            case OSError():
                why = f"{self._path}: {errors.describe_os_error(error)}"
            case errors.BootsealError():
                why = str(error)
            case _:
                why = type(error).__name__
        if why != self._trouble:
            self._trouble = why
            _log.warning("the events cannot be read: %s", why)
            self._append([gap(f"the events cannot be read: {why}")])

    def _forget(self) -> None:
        """Nobody listens: stop reading, and give the memory back."""
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
        self._drop(len(self._frames))
        self._trouble = ""


def _name(event: object) -> str:
    """Return the event's name where it is one, else ``event``: it becomes a line of its own."""
    return event if isinstance(event, str) and _NAME.fullmatch(event) and event != GAP else "event"
