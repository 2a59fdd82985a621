"""An OTLP/HTTP collector on loopback that keeps what it was sent, and misbehaves on demand."""

import contextlib
import dataclasses
import http.server
import threading
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclasses.dataclass(frozen=True)
class Taken:
    """One span as it came, with its resource; moments are Unix nanoseconds."""

    trace_id: str
    span_id: str
    parent: str
    name: str
    begin: int
    end: int
    status: int
    message: str
    attributes: dict[str, Any]
    events: list[tuple[str, int]]
    resource: dict[str, Any]


OK, ERROR, UNSET = (
    trace_pb2.Status.STATUS_CODE_OK,
    trace_pb2.Status.STATUS_CODE_ERROR,
    trace_pb2.Status.STATUS_CODE_UNSET,
)


class Collector:
    """Answers ``statuses`` in turn, and 200 when they are used up; ``hangs``: it never answers."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.hangs = False
        self.requests: list[tuple[str, bytes]] = []
        self.released = threading.Event()
        self.port = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Taken]:
        return [span for _, body in self.requests for span in decode(body)]

    def span(self, name: str) -> Taken:
        [found] = [span for span in self.spans if span.name == name]
        return found


def decode(body: bytes) -> list[Taken]:
    request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
    return [
        Taken(
            one.trace_id.hex(), one.span_id.hex(), one.parent_span_id.hex(), one.name, one.start_time_unix_nano,
            one.end_time_unix_nano, one.status.code, one.status.message, _plain(one.attributes),
            [(event.name, event.time_unix_nano) for event in one.events], _plain(whole.resource.attributes),
        )
        for whole in request.resource_spans for scope in whole.scope_spans for one in scope.spans
    ]  # fmt: skip


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """Give a collector that listens."""
    collector = Collector()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.requests.append((self.path, body))
            if collector.hangs:
                collector.released.wait()
                return
            status = collector.statuses.pop(0) if collector.statuses else 200
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        collector.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
