"""Making families: a unit that stands in the name is told, and histograms come from counts."""

import itertools
from collections.abc import Iterable, Mapping

from prometheus_client import core

from probes.metrics import picture

_UNITS = ("seconds", "bytes")

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Label values, and the value."""


def gauge(name: str, text: str, value: float) -> core.Metric:
    """Return a gauge without labels."""
    return gauges(name, text, (), [((), value)])


def gauges(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> core.Metric:
    """Return a gauge by ``labels``."""
    family = core.GaugeMetricFamily(name, text, labels=labels, unit=_unit(name))
    for values, value in samples:
        family.add_metric(values, float(value))
    return family


def counters(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> core.Metric:
    """Return a counter by ``labels``; ``name`` is without ``_total``."""
    family = core.CounterMetricFamily(name, text, labels=labels, unit=_unit(name))
    for values, value in samples:
        family.add_metric(values, float(value))
    return family


def states(name: str, text: str, state: str, known: tuple[str, ...]) -> core.Metric:
    """Return a gauge by ``state``: of all that are ``known`` the one that holds is 1."""
    return gauges(name, text, ("state",), [((one,), one == state) for one in known])


def histograms(
    name: str, text: str, labels: tuple[str, ...], taken: Iterable[tuple[tuple[str, ...], picture.Histogram]]
) -> core.Metric:
    """Return a histogram by ``labels``."""
    family = core.HistogramMetricFamily(name, text, labels=labels, unit=_unit(name))
    for values, one in taken:
        bounds = [*(str(bound) for bound in one.bounds), "+Inf"]
        family.add_metric(values, list(zip(bounds, itertools.accumulate(one.counts), strict=True)), one.sum_seconds)
    return family


def info(name: str, text: str, values: Mapping[str, str]) -> core.Metric:
    """Return an info; ``name`` is without ``_info``."""
    family = core.InfoMetricFamily(name, text)
    family.add_metric((), dict(values))
    return family


def _unit(name: str) -> str:
    return next((unit for unit in _UNITS if name.endswith(f"_{unit}")), "")
