"""HTTP: paths, methods, headers and limits; what is said comes from ``answers``.

Rules
-----
* No answer waits for anything, but for ``/startupz?wait=`` and the first scrape or identity, which load a library.
* GET and HEAD only; a request's body is never read; every answer forbids caching; no answer says what software or version
  this is.
* What a client sends never becomes a label, a log line or part of a path.
"""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from aiohttp import web

from probes import answers, observed

KEEPALIVE_SECONDS = 15.0
LINGERING_SECONDS = 1.0
CONNECTIONS_LIMIT = 512
_METHODS = ("GET", "HEAD")
_HEADERS = {
    "Cache-Control": "no-store",
    "Server": "bootseal",
    "X-Content-Type-Options": "nosniff",
}
_JSON = "application/json; charset=utf-8"

_log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.Response]]


class Site:
    """The paths of one listener."""

    def __init__(self, known: observed.Observed) -> None:
        """Answer from ``known``; paths are added by the caller."""
        self._known = known
        self._handlers: dict[str, Handler] = {}

    @property
    def paths(self) -> list[str]:
        """Every path there is."""
        return list(self._handlers)

    def add(self, path: str, handler: Handler) -> None:
        """Answer ``path`` with ``handler``."""
        self._handlers[path] = handler

    def add_json(self, path: str, answer: Callable[[web.BaseRequest], answers.Answer]) -> None:
        """Answer ``path`` with what ``answer`` returns."""

        async def handler(request: web.BaseRequest) -> web.Response:
            return render(answer(request))

        self.add(path, handler)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request."""
        path = request.path if request.path == "/" else request.path.removesuffix("/")
        handler = self._handlers.get(path)
        if handler is None:
            path = "other"
            response = render(
                problem(HTTPStatus.NOT_FOUND, f"there is no such path; the paths are {', '.join(self.paths)}")
            )
        elif request.method not in _METHODS:
            text = f"only {' and '.join(_METHODS)} are answered"
            response = render(problem(HTTPStatus.METHOD_NOT_ALLOWED, text, {"Allow": ", ".join(_METHODS)}))
        else:
            response = await handler(request)
        self.count(path, response.status)
        return response

    def count(self, path: str, status: int) -> None:
        """Count an answer."""
        self._known.requests[path, status] += 1


class Connection(web.RequestHandler):
    """One client; requests that are not HTTP, and failures of ours, are answered like everything else."""

    site: Site
    clients: web.Server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a client, unless there are too many: memory is the container's."""
        if len(self.clients.connections) >= CONNECTIONS_LIMIT:
            transport.close()
        else:
            super().connection_made(transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # it may repeat what the client sent
    ) -> web.StreamResponse:
        """Return the answer to a malformed request (400) or a failure of ours (500), and end the connection."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("a request failed", exc_info=exc)
        self.site.count("other", status)
        response = render(problem(status, HTTPStatus(status).phrase.lower()))
        response.force_close()
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was already begun")
        return response


Kept = tuple[socket.socket, bytes]
"""A connection that was accepted before the server stood, and what was read from it."""


async def listen(site: Site, socket_: socket.socket, kept: Sequence[Kept] = ()) -> tuple[web.Server, asyncio.Server]:
    """Accept on the bound socket ``socket_`` and answer with ``site``; go on with the connections ``kept``."""
    loop = asyncio.get_running_loop()
    manager = web.Server(site.handle, handler_cancellation=True)

    def connect() -> Connection:
        connection = Connection(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # aiohttp: None turns the access log off
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGERING_SECONDS,
        )
        connection.site, connection.clients = site, manager
        return connection

    server = await loop.create_server(connect, sock=socket_)
    for accepted, head in kept:
        with contextlib.suppress(OSError):  # the client has left
            _, protocol = await loop.connect_accepted_socket(connect, accepted)
            if head:
                protocol.data_received(head)
    return manager, server


def render(answer: answers.Answer) -> web.Response:
    """Return ``answer`` as JSON, one object and a newline."""
    body = json.dumps(answer.value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
    return respond(answer.status, body, _JSON, answer.headers)


def respond(status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return a response with the headers that every one of ours has."""
    return web.Response(status=status, body=body, headers={**_HEADERS, "Content-Type": content_type, **(headers or {})})


def problem(status: int, text: str, headers: dict[str, str] | None = None) -> answers.Answer:
    """Return the answer for a request that cannot be served."""
    return answers.Answer(status, {"error": text}, headers or {})
