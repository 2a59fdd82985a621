"""/metrics: the observed state as metric families, made at the moment of the scrape.

Loaded at the first scrape only; nothing else here knows prometheus_client. Counters are kept where things are counted,
and label values come from the plan, the ledger and our own paths, never from a client.
"""

import datetime as dt
import itertools
import platform
from collections.abc import Iterator

import prometheus_client
from prometheus_client import core, exposition, registry

from contract import snapshot, version
from probes import observed
from probes.checks import tally

_PHASES = (snapshot.BOOTING, snapshot.SEALED, snapshot.HELD, snapshot.STOPPING)


class Metrics:
    """A registry of its own with one collector."""

    def __init__(self, known: observed.Observed) -> None:
        self._registry = prometheus_client.CollectorRegistry(auto_describe=False)
        self._registry.register(Collector(known))

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the body and content type that the Accept header ``accept`` asks for."""
        encoder, content_type = exposition.choose_encoder(accept)
        return encoder(self._registry), content_type


class Collector(registry.Collector):
    """Reads the state when it is asked."""

    def __init__(self, known: observed.Observed) -> None:
        self._known = known

    def describe(self) -> Iterator[core.Metric]:
        """Nothing: collecting costs nothing worth avoiding, and the names are fixed here."""
        return iter(())

    def collect(self) -> Iterator[core.Metric]:
        """Yield every family."""
        yield from self._boot()
        yield from self._programs()
        yield from self._checks()
        yield from self._process()

    def _boot(self) -> Iterator[core.Metric]:
        known = self._known
        ledger = known.copy.ledger
        ready = known.readiness().ready
        yield _gauge("bootseal_ready", "Whether the container is ready now.", ready)
        yield _gauge("bootseal_sealed", "Whether this boot was ever sealed.", known.startup.sealed)
        if known.startup.sealed:
            at = dt.datetime.fromisoformat(known.startup.sealed_at).timestamp()
            yield _gauge("bootseal_seal_timestamp_seconds", "When this boot was first sealed, Unix time.", at)
        if known.seal.elapsed_seconds is not None:
            took = known.seal.elapsed_seconds
            yield _gauge("bootseal_seal_elapsed_seconds", "How long this generation took to its seal.", took)
        phases = core.GaugeMetricFamily(
            "bootseal_boot_phase_seconds", "How long each phase of Stage A took.", labels=["phase"]
        )
        for phase in known.boot.phases:
            phases.add_metric([phase.name], phase.duration_ms / 1000)
        yield phases
        generation = ledger.generation if ledger else known.boot.generation
        yield _gauge("bootseal_generation", "supervisord's start within this boot, from 1.", generation)
        life = core.GaugeMetricFamily("bootseal_phase", "The phase of this generation, one is 1.", labels=["phase"])
        for name in _PHASES:
            life.add_metric([name], float(ledger is not None and ledger.phase == name))
        yield life
        build = core.InfoMetricFamily("bootseal_build", "What runs here.")
        plan = known.loaded.plan
        build.add_metric(
            [],
            {
                "version": version.VERSION,
                "python": platform.python_version(),
                "name": plan.name,
                "plan_sha256": known.loaded.sha256,
                "manifest_sha256": plan.manifest_sha256,
            },
        )
        yield build

    def _programs(self) -> Iterator[core.Metric]:
        state = core.GaugeMetricFamily(
            "bootseal_program_state", "The readiness state of each program, one is 1.", labels=["program", "state"]
        )
        restarts = core.CounterMetricFamily(
            "bootseal_program_restarts", "Starts after the first, in this generation.", labels=["program"]
        )
        exits = core.CounterMetricFamily(
            "bootseal_program_exits", "Exits that nobody asked for, in this generation.", labels=["program"]
        )
        ledger = self._known.copy.ledger
        for view in ledger.programs if ledger else ():
            for name in snapshot.STATES:
                state.add_metric([view.name, name], float(view.state == name))
            restarts.add_metric([view.name], view.restarts)
            exits.add_metric([view.name], view.exits)
        yield from (state, restarts, exits)

    def _checks(self) -> Iterator[core.Metric]:
        labels = ["program", "purpose"]
        durations = core.HistogramMetricFamily(
            "bootseal_check_duration_seconds", "How long the checks of each program took.", labels=labels
        )
        failures = core.CounterMetricFamily("bootseal_check_failures", "Checks that failed.", labels=labels)
        counted = self._known.checks
        bounds = [*(str(bound) for bound in tally.BOUNDS_SECONDS), "+Inf"]
        for key, taken in sorted(counted.durations.items()):
            buckets = list(zip(bounds, itertools.accumulate(taken.counts), strict=True))
            durations.add_metric(list(key), buckets, taken.sum_seconds)
            failures.add_metric(list(key), counted.failures[key])
        yield from (durations, failures)

    def _process(self) -> Iterator[core.Metric]:
        known = self._known
        transitions = core.CounterMetricFamily(
            "bootseal_readiness_transitions", "Changes of readiness seen by this process.", labels=["to"]
        )
        for to, count in sorted(known.transitions.items()):
            transitions.add_metric([to], count)
        yield transitions
        requests = core.CounterMetricFamily(
            "bootseal_probe_requests", "Requests answered by this process.", labels=["path", "code"]
        )
        for (path, code), count in sorted(known.requests.items()):
            requests.add_metric([path, str(code)], count)
        yield requests
        alive = known.liveness()
        yield _gauge("bootseal_loop_lag_seconds", "How late the probe server's loop is.", alive.loop_lag_seconds)
        age = alive.heartbeat_age_seconds
        yield _gauge("bootseal_heartbeat_age_seconds", "Time since PID 1 was heard on the feed.", age)
        fresh = known.reading().age_seconds
        yield _gauge("bootseal_ledger_age_seconds", "Time since the ledger was confirmed to be current.", fresh)


def _gauge(name: str, text: str, value: float) -> core.Metric:
    return core.GaugeMetricFamily(name, text, value=float(value))
