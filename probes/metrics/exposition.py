"""The families of a picture as text: OpenMetrics, or what Prometheus read before it."""

import functools
import itertools
from collections.abc import Callable, Iterator

import prometheus_client
from prometheus_client import core, exposition, registry

from contract import errors, identity, rundir
from probes.metrics import families, picture, programs, scrape, usage

_ASKED_FOR = {scrape.OPENMETRICS: "application/openmetrics-text; version=1.0.0", scrape.TEXT: ""}


class Exposition:
    """Renders pictures; it belongs to one thread."""

    def __init__(self, run: rundir.RunDirectory) -> None:
        """Name the container by the identity in ``run``."""
        self._run = run
        self._meter = usage.Meter()
        self._process = prometheus_client.ProcessCollector(registry=None)

    def render(self, taken: picture.Picture, formats: frozenset[str]) -> dict[str, tuple[bytes, str]]:
        """Return body and content type for each of ``formats``, all of the same values."""
        made = list(self.collect(taken))
        source = prometheus_client.CollectorRegistry(auto_describe=False)
        source.register(_Collected(made))
        found = {}
        for name in formats:
            encode, content_type = _encoder(name)
            found[name] = (encode(source), content_type)
        return found

    def collect(self, taken: picture.Picture) -> Iterator[core.Metric]:
        """Yield every family."""
        views = taken.ledger.programs if taken.ledger else ()
        used = self._meter.measure(views)
        yield from families.of(taken, self._identity())
        yield from programs.of(views, used)
        yield from self._process.collect()

    def _identity(self) -> str:
        try:
            return identity.read_id(self._run)
        except errors.BootsealError:
            return ""  # /whoami says why


class _Collected(registry.Collector):
    def __init__(self, made: list[core.Metric]) -> None:
        self._made = made

    def describe(self) -> Iterator[core.Metric]:
        return itertools.chain()  # nothing is registered beside it

    def collect(self) -> Iterator[core.Metric]:
        return iter(self._made)


@functools.cache
def _encoder(name: str) -> tuple[Callable[[registry.Collector], bytes], str]:
    return exposition.choose_encoder(_ASKED_FOR[name])
