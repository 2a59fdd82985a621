"""Scrapes: made aside, one at a time, and shared by whoever asked meanwhile.

Rules
-----
* The event loop only takes the picture; no other answer waits for a scrape, and none is held up by the libraries that the first
  one loads.
* Those who ask while one is made share the next, each in its own format: ``probes.aside``.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

from contract import rundir
from probes import aside, observed
from probes.metrics import picture

OPENMETRICS, TEXT = "openmetrics", "text"
DEADLINE_SECONDS = 10.0
"""Prometheus' own, by default: nobody waits for longer."""

Made = dict[str, tuple[bytes, str]]
"""Body and content type, by format."""


class Scrapes:
    """The scrapes of one probe server."""

    def __init__(self, known: observed.Observed, run: rundir.RunDirectory) -> None:
        """Tell what ``known`` knows, of the container whose run directory is ``run``."""
        self._known = known
        self._run = run
        self._wanted: set[str] = set()
        self._exposition: Any = None
        self._shared = aside.Aside("metrics", self._begin, DEADLINE_SECONDS)

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """Return body and content type in the format that the Accept header ``accept`` asks for; raises TooLate or NoThread."""
        wanted = choose(accept)
        self._wanted.add(wanted)
        return (await self._shared.ask())[wanted]

    def _begin(self) -> Callable[[], Made]:
        wanted, self._wanted = frozenset(self._wanted), set()
        return functools.partial(self._render, picture.take(self._known), wanted)

    def _render(self, taken: picture.Picture, formats: frozenset[str]) -> Made:
        if self._exposition is None:
            self._exposition = importlib.import_module("probes.metrics.exposition").Exposition(self._run)
        made: Made = self._exposition.render(taken, formats)
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
