"""When the trace of a boot is sent, and what follows when it cannot be.

Rules
-----
* Once a generation, when it is sealed, held, or stops unsealed; and only by a probe server that saw it boot: one that comes later
  would tell everything again.
* It is sent by a thread that nobody waits for: readiness does not know of it, and this process ends without it.
* Whatever goes wrong is one event, ``TraceExportFailed``, after LONGEST_SECONDS at the latest.
* Nothing of OpenTelemetry is loaded unless there is an endpoint.
"""

import asyncio
import contextlib
import datetime as dt
import functools
import importlib
import logging
from collections.abc import Callable

from contract import boot_record, clock, errors, identity, rundir, snapshot, version
from manifest import plan
from probes import detached
from probes.tracing import spans

LONGEST_SECONDS = 45.0
_CAUSE_LENGTH = 500

_log = logging.getLogger(__name__)


class NotInstalled(errors.BootsealError):
    """The extra that speaks OTLP is missing."""


class Sending:
    """The traces of one probe server; it belongs to the event loop."""

    def __init__(
        self,
        boot: boot_record.BootRecord,
        loaded: plan.LoadedPlan,
        run: rundir.RunDirectory,
        tell: Callable[..., None],
    ) -> None:
        """Send what ``loaded`` names an endpoint for, and ``tell`` the event (name and fields) of what could not be."""
        self._boot = boot
        self._loaded = loaded
        self._run = run
        self._tell = tell
        self._seen = False
        self._over: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def take(self, ledger: snapshot.Snapshot | None) -> None:
        """Send the trace when ``ledger``, the newest, says that its generation's boot is over."""
        endpoint = self._loaded.plan.observability.otlp_endpoint
        if endpoint is None or ledger is None:
            return
        is_over = ledger.phase != snapshot.BOOTING
        if is_over and ledger.generation not in self._over:
            self._over.add(ledger.generation)
            if self._seen:
                now = clock.monotonic() - self._boot.started_monotonic
                self._task = asyncio.get_running_loop().create_task(self._send(endpoint, ledger, max(0.0, now)))
        self._seen = True

    async def _send(self, endpoint: str, ledger: snapshot.Snapshot, now_seconds: float) -> None:
        work = functools.partial(self._export, endpoint, ledger, now_seconds)
        sending = asyncio.ensure_future(detached.call("trace", work))
        done, _ = await asyncio.wait([sending], timeout=LONGEST_SECONDS)
        if not done:
            sending.cancel()
            self._fail(endpoint, f"it was not taken within {LONGEST_SECONDS:g} s")
        elif (failure := sending.exception()) is not None:
            self._fail(endpoint, _cause(failure))

    def _fail(self, endpoint: str, cause: str) -> None:
        shown = errors.printable(cause[: _CAUSE_LENGTH + 1])
        if len(shown) > _CAUSE_LENGTH:
            shown = f"{shown[: _CAUSE_LENGTH - 1]}…"
        self._tell("TraceExportFailed", endpoint=endpoint, cause=shown)

    def _export(self, endpoint: str, ledger: snapshot.Snapshot, now_seconds: float) -> None:
        """Send, in this thread; raises BootsealError."""
        try:
            otlp = importlib.import_module("probes.tracing.otlp")
        except ImportError as error:
            raise NotInstalled("trace", f"{error}", "pip install bootseal[otlp], or name no otlp_endpoint") from error
        began = dt.datetime.fromisoformat(self._boot.started_at)
        epoch_ns = round(began.timestamp() * 1000) * 1_000_000  # started_at has milliseconds
        made = spans.of(self._boot, ledger, now_seconds)
        otlp.export(endpoint, self._boot.boot_id, epoch_ns, made, self._resource())

    def _resource(self) -> dict[str, str | int]:
        wanted = self._loaded.plan
        told: dict[str, str | int] = {
            "service.name": wanted.name,
            "bootseal.version": version.VERSION,
            "bootseal.boot_id": self._boot.boot_id,
            "bootseal.plan_sha256": self._loaded.sha256,
            "bootseal.manifest_sha256": wanted.manifest_sha256,
            "bootseal.config_sha256": wanted.config_sha256,
        }
        if wanted.lock:
            told["bootseal.lock_sha256"] = wanted.lock.sha256
        with contextlib.suppress(errors.BootsealError):  # /whoami says why
            told["service.instance.id"] = identity.read_id(self._run)
        return told


def _cause(failure: BaseException) -> str:
    if isinstance(failure, errors.BootsealError):
        return str(failure)
    _log.error("the trace could not be sent", exc_info=failure)
    return f"a fault of ours: {type(failure).__name__}"
