"""Spans over OTLP/HTTP through the OpenTelemetry SDK, which the extra ``otlp`` brings. It blocks: call it in a thread.

The spans are made whole, without a tracer: their ids and moments are known (opentelemetry-sdk: ``ReadableSpan``). The exporter tries
again what may pass (https://opentelemetry.io/docs/specs/otlp/, "Failures"), until its time is over.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence

from opentelemetry import trace as api
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk import resources
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import export as exporting
from opentelemetry.sdk.util import instrumentation
from opentelemetry.trace import status

from contract import errors, version
from probes.tracing import spans

TIMEOUT_SECONDS = 30
"""Every try together."""
_PATH = "/v1/traces"
_BATCH = 512


class Refused(errors.BootsealError):
    """The collector did not take the trace."""


def export(
    endpoint: str, trace_id: str, epoch_ns: int, made: Sequence[spans.Span], resource: Mapping[str, str | int]
) -> None:
    """Send ``made`` of the trace ``trace_id`` to ``endpoint``; seconds count from ``epoch_ns``, Unix time. Raises Refused."""
    said: list[str] = []
    exporter = trace_exporter.OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}{_PATH}", timeout=TIMEOUT_SECONDS)
    whose = resources.Resource(dict(resource))
    ready = [_readable(trace_id, epoch_ns, one, whose) for one in made]
    with _listening(said), contextlib.closing(_Closing(exporter)):
        for first in range(0, len(ready), _BATCH):
            if exporter.export(ready[first : first + _BATCH]) is not exporting.SpanExportResult.SUCCESS:
                why = "; ".join(dict.fromkeys(said)) or "the exporter does not say why"
                raise Refused(f"trace collector {endpoint}", why)


def _readable(trace_id: str, epoch_ns: int, one: spans.Span, whose: resources.Resource) -> sdk.ReadableSpan:
    def context(span_id: str) -> api.SpanContext:
        sampled = api.TraceFlags(api.TraceFlags.SAMPLED)
        return api.SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=sampled)

    def nanoseconds(seconds: float) -> int:
        return epoch_ns + round(seconds * 1_000_000_000)

    code = status.StatusCode.ERROR if one.error else status.StatusCode.OK if one.ok else status.StatusCode.UNSET
    return sdk.ReadableSpan(
        one.name,
        context=context(one.id),
        parent=context(one.parent) if one.parent else None,
        resource=whose,
        attributes=one.attributes,
        events=[sdk.Event(event.name, timestamp=nanoseconds(event.at_seconds)) for event in one.events],
        status=status.Status(code, one.error or None),
        start_time=nanoseconds(one.begin_seconds),
        end_time=nanoseconds(one.end_seconds),
        instrumentation_scope=instrumentation.InstrumentationScope("bootseal", version.VERSION),
    )


class _Closing:
    def __init__(self, exporter: trace_exporter.OTLPSpanExporter) -> None:
        self.close = exporter.shutdown


@contextlib.contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    """Collect in ``said`` what OpenTelemetry logs: the cause is nowhere else. It is told in an event, not in our log."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    ear, whole = Ear(logging.WARNING), logging.getLogger("opentelemetry")
    passed_on, whole.propagate = whole.propagate, False
    whole.addHandler(ear)
    try:
        yield
    finally:
        whole.removeHandler(ear)
        whole.propagate = passed_on
