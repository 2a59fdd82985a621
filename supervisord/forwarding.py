"""Programs' output on its way through PID 1: in whole lines to the container's output, and into the store.

Rules
-----
* Lines of different programs never interleave, and a line is never of two processes.
* A line is dropped from the container's output when nobody reads it (``output.Channel``); the store has it all the same.
* Last words are at most five lines and 512 bytes, of this generation alone, and without secrets.
"""

import functools
import time
from collections.abc import Callable

from contract import masking
from manifest import serving
from supervisord import line_format, lines, output, output_store

LAST_LINES = 5
_LAST_BYTES = 512
_KEPT_BYTES = 4096
"""Of each line: enough to show _LAST_BYTES of it when secrets are hidden."""


class LineForwarder:
    """Forwards programs' output in whole lines and remembers the last lines of each program."""

    def __init__(
        self,
        channels: dict[str, output.Channel],
        hide: output_store.Hide = lambda _program, text: text,
        *,
        form: line_format.LineFormat | None = None,
        store: output_store.Store | None = None,
        own: frozenset[str] = frozenset(),
        now: Callable[[], float] = time.time,
    ) -> None:
        """``channels`` maps "stdout" and "stderr" to where they go; ``hide`` hides a program's secrets in what is shown of it.

        ``own`` names the programs that bootseal itself brings; ``now`` tells seconds since the epoch.
        """
        self._channels = channels
        self._hide = hide
        self._form = form or line_format.LineFormat(serving.PLAIN)
        self._store = store or output_store.Store(1)
        self._splitter = lines.Splitter(own)
        self._now = now
        self._begin = self._store.last
        self._shown: dict[str, tuple[int, tuple[str, ...]]] = {}

    def take(self, program: str, stream: str, pid: int, data: bytes) -> None:
        """Forward the complete lines of ``data``, which ``pid`` printed, and keep the rest until its line is complete."""
        self._forward(program, stream, self._splitter.take(program, stream, pid, data))

    def end(self, program: str) -> None:
        """Forward what is left of ``program``'s last line: its process ended."""
        for stream in self._channels:
            self._forward(program, stream, self._splitter.end(program, stream))

    def answer(self, after: int, limit: int, programs: tuple[str, ...]) -> str:
        """Return the lines after number ``after`` as JSON text, see ``contract.output``."""
        return self._store.answer(after, limit, programs, self._hide)

    def last_lines(self, program: str) -> tuple[str, ...]:
        """Return the last lines that ``program`` wrote to stderr, or where it wrote none to stdout, oldest first.

        At most five and 512 bytes. Empty lines are left out.
        """
        stream = "stderr" if self._store.last_of(program, "stderr") > self._begin else "stdout"
        number = self._store.last_of(program, stream)
        if number <= self._begin:
            return ()
        known, shown = self._shown.get(program, (0, ()))
        if known != number:  # they are shown again with every change of the ledger
            shown = self._last_words(program, stream)
            self._shown[program] = number, shown
        return shown

    def _last_words(self, program: str, stream: str) -> tuple[str, ...]:
        said = [
            one
            for kept in self._store.tail(program, stream, LAST_LINES, self._begin)
            for one in _parts(kept)
        ][-LAST_LINES:]  # fmt: skip
        words: list[str] = []
        left = _LAST_BYTES
        for one in reversed(said):  # masked before it is cut: half a secret is not recognised
            text = self._hide(program, one.data.decode("utf-8", "replace"))
            text = masking.trimmed(text, begins_cut=one.begins_cut, ends_cut=one.ends_cut)
            shown = text.encode("utf-8", "replace")[:_LAST_BYTES]
            left -= len(shown)
            if left < 0:
                break
            words.append(shown.decode("utf-8", "ignore"))
        return tuple(reversed(words))

    def _forward(self, program: str, stream: str, blocks: list[lines.Block]) -> None:
        if not blocks:
            return
        at = self._now()
        for block in blocks:
            self._store.add(program, stream, at, block)
        channel = self._channels[stream]
        if self._form.is_plain:
            channel.write(_joined(blocks))
            return
        for block in blocks:
            origin = line_format.Origin(program, stream, block.pid, at)
            channel.write(block.data, functools.partial(self._form.render, origin, block.ends_cut))


def _joined(blocks: list[lines.Block]) -> bytes:
    """Return the bytes of ``blocks``; where one was cut and its rest follows, in one line."""
    if len(blocks) == 1:
        return blocks[0].data
    before = (block.data[:-1] if block.ends_cut else block.data for block in blocks[:-1])
    return b"".join((*before, blocks[-1].data))


def _parts(kept: output_store.Kept) -> list[output_store.Kept]:
    """Return what a reader sees of a line as lines: a progress bar's are divided by carriage returns."""
    parts = kept.data.splitlines()
    return [
        output_store.Kept(
            part[:_KEPT_BYTES],
            kept.begins_cut and index == 0,
            len(part) > _KEPT_BYTES or (kept.ends_cut and index == len(parts) - 1),
        )
        for index, part in enumerate(parts)
    ]
