"""The recent output of programs, as PID 1 keeps it, page after page.

Rules
-----
* Reading is asking for what came after the last number; while there is more, it is asked for at once.
* The newest lines come in one page where they fit; else everything is read, and the last of it kept. Everything is what was there
  when the reading began: programs may talk faster than anybody reads.
* What fell out before it was read is counted, never passed over in silence.
* A container that begins anew while somebody follows is followed, from the first line of the new boot on, and that is told.
"""

import collections
import dataclasses
import time
from collections.abc import Callable, Iterator

from contract import errors, output, rundir
from entrypoint import asking, presenting, unknown
from supervisord import client

PAUSE_SECONDS = 0.2
_NAME_WIDTH = 20
_BAD_NAME = 10
"""supervisor's fault code for a name that is not known (supervisor.xmlrpc.Faults)."""


class BeganAnew(errors.BootsealError):
    """Another boot answers than the last time: what follows is its output, from the oldest line on."""


class Reader:
    """Reads the lines of the programs ``names``, of all when there are none."""

    def __init__(self, socket_path: str, names: tuple[str, ...], sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client.Client(socket_path)
        self._names = names
        self._sleep = sleep
        self._next = 0
        self._boot_id = ""

    def kept(self, number: int | None) -> Iterator[output.Output]:
        """Yield the newest ``number`` lines that are kept, or page by page all for None; raises NotThere or Unknown.

        ``dropped`` counts what fell out while this was read.
        """
        if number is None:
            yield from self._every()
        else:
            yield self._newest(number)

    def _newest(self, number: int) -> output.Output:
        if number == 0:
            return self._page(output.NEWEST, 1, keep=False)
        page = self._page(output.NEWEST, min(number, output.LINES_LIMIT))
        if len(page.lines) == number:
            return page
        lines: collections.deque[output.Line] = collections.deque(maxlen=number)
        for page in self._every():
            lines.extend(page.lines)
        return output.Output(page.schema, page.boot_id, page.next, 0, tuple(lines))

    def _every(self) -> Iterator[output.Output]:
        """Yield what is kept now, oldest first, one page at least."""
        last = self._page(output.NEWEST, 1, keep=False)
        page = self._page(0, output.LINES_LIMIT)
        yield dataclasses.replace(page, dropped=0)  # what fell out before anybody asked
        while page.next < last.next and page.boot_id == last.boot_id:
            page = self._page(page.next, output.LINES_LIMIT)
            yield page

    def follow(self) -> Iterator[output.Output | errors.BootsealError]:
        """Yield each page that holds something, for ever; once why nobody answers, each time that this begins; and BeganAnew."""
        was_lost = False
        while True:
            boot_id = self._boot_id
            try:
                page = self._page(self._next, output.LINES_LIMIT)
            except asking.NotThere as error:
                if not was_lost:
                    yield error
                was_lost = True
                self._sleep(PAUSE_SECONDS)
                continue
            was_lost = False
            if boot_id not in {"", self._boot_id}:
                yield BeganAnew("output", "the container began anew, and so does its output")
            if page.lines or page.dropped:
                yield page
            else:
                self._sleep(PAUSE_SECONDS)

    def _page(self, after: int, limit: int, *, keep: bool = True) -> output.Output:
        try:
            page = self._client.output(after, limit, self._names)
            if after > 0 and page.boot_id != self._boot_id:
                page = self._client.output(0, limit, self._names)
        except (client.Unreachable, client.Refused) as error:
            if isinstance(error, client.Refused) and error.code == _BAD_NAME:
                raise unknown.Unknown("output", error.why) from error
            raise asking.not_there(error) from error
        self._next, self._boot_id = page.next, page.boot_id
        return page if keep else output.Output(page.schema, page.boot_id, page.next, 0, ())


def chosen(run: rundir.RunDirectory, names: tuple[str, ...], *, every: bool) -> tuple[str, ...]:
    """Return the programs to read: ``names``, else those of the manifest; none means all. Raises Unknown or NotThere."""
    if every and not names:
        return ()
    views = asking.ledger(run).programs
    unknown.check(unknown.PROGRAM, names, [view.name for view in views])
    return names or tuple(view.name for view in views if view.role == "program")


def line(one: output.Line, width: int, *, on_terminal: bool, coloured: bool) -> str:
    """Return ``one`` for people: behind ``NAME | `` padded to ``width``, or bare when that is 0.

    What a terminal would act on is made visible on one; elsewhere only what would end the line early is.
    """
    message = presenting.plain(one.message) if on_terminal else one.message.replace("\r", "\\r").replace("\n", "\\n")
    message += "…" if one.partial else ""
    if not width:
        return message
    mark = "|" if one.stream == "stdout" else "!"
    return f"{presenting.styled(f'{one.program:<{width}} {mark}', presenting.DIM, coloured=coloured)} {message}"


def width(names: tuple[str, ...], lines: tuple[output.Line, ...]) -> int:
    """Return how wide names are shown: not at all when one program was asked for, else for those that are read or, of all, that speak."""
    if len(names) == 1:
        return 0
    return min(_NAME_WIDTH, max(map(len, names or [one.program for one in lines]), default=1))
