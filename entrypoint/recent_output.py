"""The recent output of programs, as PID 1 keeps it, page after page.

Rules
-----
* Reading is asking for what came after the last number; while there is more, it is asked for at once.
* The newest lines come in one page where they fit; else everything is read, and the last of it kept.
* What fell out before it was read is counted, never passed over in silence.
* A container that begins anew while somebody follows is followed.
"""

import collections
import time
from collections.abc import Callable, Iterator

from contract import errors, output
from entrypoint import asking, presenting
from supervisord import client

PAUSE_SECONDS = 0.2
_NAME_WIDTH = 20


class Unknown(errors.BootsealError):
    """The container has no program of that name."""


class Reader:
    """Reads the lines of the programs ``names``, of all when there are none."""

    def __init__(self, socket_path: str, names: tuple[str, ...], sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client.Client(socket_path)
        self._names = names
        self._sleep = sleep
        self._next = 0

    def newest(self, number: int | None) -> output.Output:
        """Return the newest ``number`` lines that are kept, or all for None; raises NotThere, or BootsealError with PID 1's reason."""
        if number == 0:
            return self._page(output.NEWEST, 1, keep=False)
        if number is not None:
            page = self._page(output.NEWEST, min(number, output.LINES_LIMIT))
            if len(page.lines) == number:
                return page
        lines: collections.deque[output.Line] = collections.deque(maxlen=number)
        self._next = 0
        while (page := self._page(self._next, output.LINES_LIMIT)).lines:
            lines.extend(page.lines)
        return output.Output(page.schema, page.next, 0, tuple(lines))

    def follow(self) -> Iterator[output.Output | errors.BootsealError]:
        """Yield each page that holds something, for ever; and once why nobody answers, each time that this begins."""
        was_lost = False
        while True:
            try:
                page = self._page(self._next, output.LINES_LIMIT)
            except asking.NotThere as error:
                if not was_lost:
                    yield error
                was_lost = True
                self._sleep(PAUSE_SECONDS)
                continue
            was_lost = False
            if page.lines or page.dropped:
                yield page
            else:
                self._sleep(PAUSE_SECONDS)

    def _page(self, after: int, limit: int, *, keep: bool = True) -> output.Output:
        try:
            page = self._client.output(after, limit, self._names)
        except client.Unreachable as error:
            raise asking.NotThere(error.what, error.why, error.remedy) from error
        except client.Refused as error:
            raise errors.BootsealError("output", error.why) from error
        self._next = page.next
        return page if keep else output.Output(page.schema, page.next, 0, ())


def chosen(socket_path: str, names: tuple[str, ...], *, every: bool) -> tuple[str, ...]:
    """Return the programs to read: ``names``, else those of the manifest; none means all. Raises Unknown or NotThere."""
    if every and not names:
        return ()
    try:
        views = client.Client(socket_path).snapshot().programs
    except client.Unreachable as error:
        raise asking.NotThere(error.what, error.why, error.remedy) from error
    except client.Refused as error:
        raise errors.BootsealError("output", error.why) from error
    known = [view.name for view in views]
    for name in names:
        if name not in known:
            what = f"program {presenting.plain(name)}"
            raise Unknown(what, "this container has none of that name", presenting.nearest(name, known))
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
