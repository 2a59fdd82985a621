"""Scrapes: in a thread, one at a time, and shared by whoever asked meanwhile.

Rules
-----
* The event loop only takes the picture; no other answer waits for a scrape, and none is held up by the libraries that the first
  one loads.
* One scrape at a time: those who ask while one is made share the next, so nobody is told what was known before they asked, and
  however many ask, at most two are under way.
* Nobody waits for a scrape at the end of this process.
"""

import asyncio
import importlib
import weakref
from concurrent import futures
from typing import Any

from contract import rundir
from probes import observed
from probes.metrics import picture

OPENMETRICS, TEXT = "openmetrics", "text"


class _Flight:
    """One scrape, for all who ask for it before it begins."""

    def __init__(self) -> None:
        self.formats: set[str] = set()
        self.task: asyncio.Task[dict[str, tuple[bytes, str]]] | None = None


class Scrapes:
    """The scrapes of one probe server."""

    def __init__(self, known: observed.Observed, run: rundir.RunDirectory) -> None:
        """Tell what ``known`` knows, of the container whose run directory is ``run``."""
        self._known = known
        self._run = run
        self._turn = asyncio.Lock()
        self._next: _Flight | None = None
        self._exposition: Any = None
        self._thread = futures.ThreadPoolExecutor(1, thread_name_prefix="scrape")

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """Return body and content type in the format that the Accept header ``accept`` asks for."""
        wanted = choose(accept)
        if self._next is None:
            self._next = _Flight()
            self._next.task = asyncio.get_running_loop().create_task(self._make(self._next))
        flight = self._next
        flight.formats.add(wanted)
        assert flight.task is not None  # noqa: S101  # it is made with the flight
        return (await asyncio.shield(flight.task))[wanted]

    async def _make(self, flight: _Flight) -> dict[str, tuple[bytes, str]]:
        async with self._turn:
            self._next = None
            taken = picture.take(self._known)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._render, taken, frozenset(flight.formats))

    def _render(self, taken: picture.Picture, formats: frozenset[str]) -> dict[str, tuple[bytes, str]]:
        if self._exposition is None:
            self._exposition = importlib.import_module("probes.metrics.exposition").Exposition(self._run)
        made: dict[str, tuple[bytes, str]] = self._exposition.render(taken, formats)
        return made


def choose(accept: str) -> str:
    """Return the format for the Accept header ``accept``: OpenMetrics 1.0.0 to who names it, else Prometheus' own text."""
    for one in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in one.split(";"))
        given = dict(name.partition("=")[::2] for name in parameters)
        is_refused = not given.get("q", "1").rstrip("0.")
        if kind == "application/openmetrics-text" and given.get("version", "1.0.0") == "1.0.0" and not is_refused:
            return OPENMETRICS
    return TEXT


def of(known: observed.Observed, run: rundir.RunDirectory) -> Scrapes:
    """Return the scrapes of ``known``: one for all its listeners."""
    if known not in _scrapes:
        _scrapes[known] = Scrapes(known, run)
    return _scrapes[known]


_scrapes: weakref.WeakKeyDictionary[observed.Observed, Scrapes] = weakref.WeakKeyDictionary()
