"""HTTP: paths, methods and headers; what is said comes from ``answers``, and who is heard from ``client`` and ``connections``.

Rules
-----
* No answer waits for anything, but for ``?wait=``, streams, and what loads a library or reads more than memory: of these only
  so many are under way at a time.
* GET and HEAD only; a request's body is never read, and is the last thing its connection carries.
* An answer of more than ``client.UNTAKEN_BYTES`` is given only where there is memory for it: ``connections``.
* What a client sends never becomes a label, a log line or part of a path.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import cast

from aiohttp import HttpVersion11, web

from probes import accepting, answers, client, connections, observed, response, traffic, waiting

_METHODS = ("GET", "HEAD")
_TURN_SECONDS = 0.005
_NEVER_SECONDS = 1e8
"""The library's own timer of silent connections: ``connections`` has a better one."""

_log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Guard = Callable[[web.BaseRequest, str], Awaitable[answers.Answer | None]]
"""Takes a request and its path; returns the refusal, or None."""


class Site:
    """The paths of one listener."""

    def __init__(self, known: observed.Observed) -> None:
        """Answer from ``known``; paths are added by the caller."""
        self._known = known
        self._handlers: dict[str, Handler] = {}
        self._waiting: set[str] = set()

    @property
    def paths(self) -> list[str]:
        """Every path there is."""
        return list(self._handlers)

    def add(self, path: str, handler: Handler, *, waits: bool = True) -> None:
        """Answer ``path`` with ``handler``; one that ``waits`` is not begun where too many are under way."""
        self._handlers[path] = handler
        if waits:
            self._waiting.add(path)

    def add_json(self, path: str, answer: Callable[[web.BaseRequest], answers.Answer]) -> None:
        """Answer ``path`` with what ``answer`` returns."""

        async def handler(request: web.BaseRequest) -> web.Response:
            return render(answer(request))

        self.add(path, handler, waits=False)

    def include(self, other: "Site", guard: Guard | None = None, *, waits: bool = False) -> None:
        """Answer the paths of ``other``, where there is a ``guard``, which may itself be one that ``waits``, to whom it lets in."""
        for path, handler in other._handlers.items():
            answer = handler if guard is None else _guarded(path, handler, guard)
            self.add(path, answer, waits=waits or path in other._waiting)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        began = time.perf_counter()
        its_client = cast("Exchange", request.protocol).client
        its_client.begin_answer()
        path = request.path if request.path == "/" else request.path.removesuffix("/")
        handler = self._handlers.get(path)
        answer: web.StreamResponse
        if handler is None:
            path = traffic.OTHER
            text = f"there is no such path; the paths are {', '.join(self.paths)}"
            answer = render(problem(HTTPStatus.NOT_FOUND, text))
        elif request.method not in _METHODS:
            text = f"only {' and '.join(_METHODS)} are answered"
            answer = render(problem(HTTPStatus.METHOD_NOT_ALLOWED, text, {"Allow": ", ".join(_METHODS)}))
        elif path in self._waiting and its_client.is_one_too_many:
            text = "too many requests are being answered"
            answer = render(problem(HTTPStatus.SERVICE_UNAVAILABLE, text, {"Retry-After": "1"}))
        else:
            answer = await handler(request)
            if is_large(answer) and not its_client.may_be_owed:
                text = "too many answers are not taken by those who asked for them"
                answer = render(problem(HTTPStatus.SERVICE_UNAVAILABLE, text, {"Retry-After": "1"}))
        if request.body_exists:
            answer.force_close()
        if isinstance(answer, web.Response):  # a stream was counted when it began
            self.count(path, answer.status, time.perf_counter() - began)
        return answer

    def count(self, path: str, status: int, seconds: float | None = None) -> None:
        """Count an answer, and how long it took where it has a duration."""
        self._known.traffic.note(path, status, seconds)


def is_large(answer: web.StreamResponse) -> bool:
    """Say whether a client that does not take ``answer`` costs memory."""
    return isinstance(answer, web.Response) and (answer.content_length or 0) > client.UNTAKEN_BYTES


def _guarded(path: str, handler: Handler, guard: Guard) -> Handler:
    async def guarded(request: web.BaseRequest) -> web.StreamResponse:
        refusal = await guard(request, path)
        return await handler(request) if refusal is None else render(refusal)

    return guarded


class Exchange(web.RequestHandler, client.Answerer):
    """The library's half of a client; what is not HTTP, and failures of ours, are answered like everything else."""

    site: Site
    client: client.Client

    def hand_over(self, head: bytes) -> bool:
        """Take a whole head; False: the parser waits for more of it (llhttp: ``PRI * HTTP/2.0``)."""
        before = self._request_count
        self.data_received(head)
        return self._request_count > before

    def let_go(self) -> None:
        """End, and leave the connection as it is."""
        self.transport = None
        self.connection_lost(None)

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
        self.site.count(traffic.OTHER, status)
        answer = render(problem(status, HTTPStatus(status).phrase.lower()))
        answer.force_close()
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was already begun")
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer; then the client's next request may come."""
        self.client.end_answer()
        finished = await super().finish_response(request, resp, start_time)
        is_malformed = resp.status == HTTPStatus.BAD_REQUEST and not resp.keep_alive
        if not resp.keep_alive:
            self.transport = None  # the library would close at once, on what the client still sends
        self.client.next_request(keeps=bool(resp.keep_alive), has_body=is_malformed or request.body_exists)
        return finished


Kept = tuple[socket.socket, bytes]
"""A connection that was accepted before the server stood, and what was read from it."""


class Door:
    """A listening socket, and the site that answers there."""

    def __init__(self, site: Site, listener: socket.socket, known: connections.Connections) -> None:
        """Begin with the doors closed."""
        self._site = site
        self._connections = known
        self._server = web.Server(site.handle, handler_cancellation=True)
        self._acceptor = accepting.Acceptor(listener, known, self._make)

    def open(self, kept: Sequence[Kept] = ()) -> None:
        """Accept from now on; go on with the connections ``kept``."""
        for accepted, head in kept:
            self._acceptor.take(accepted, head)
        self._acceptor.begin()

    def close(self) -> None:
        """Accept nobody more, and let each leave with the answer under way."""
        self._acceptor.end()
        self._server.pre_shutdown()

    async def closed(self, patience_seconds: float) -> None:
        """Return when every answer under way is out, or given up after ``patience_seconds``."""
        await self._server.shutdown(patience_seconds)

    def _make(self) -> client.Client:
        return client.Client(self._connections, self._answer, lambda status: self._site.count(traffic.OTHER, status))

    def _answer(self, its_client: client.Client) -> Exchange:
        exchange = Exchange(
            self._server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp: None turns the access log off
            keepalive_timeout=_NEVER_SECONDS,
            lingering_time=0,
        )
        exchange.site, exchange.client = self._site, its_client
        return exchange


def hold(
    request: web.BaseRequest, room: waiting.WaitingRoom, seconds: float, answer: Callable[[], answers.Answer]
) -> None:
    """Hold ``request`` until ``room`` lets go of it, and then answer it with ``answer``; return at once where it cannot be held.

    Raises CancelledError where it is held: the handler ends, and its connection goes on.
    """
    exchange = cast("Exchange", request.protocol)
    site, path, is_head = exchange.site, request.path.removesuffix("/"), request.method == "HEAD"

    def written(keeps: bool) -> bytes:
        began = time.perf_counter()
        given = answer()
        data = response.whole(given.status, given.body, given.headers, keeps=keeps, with_body=not is_head)
        site.count(path, given.status, time.perf_counter() - began)
        return data

    keeps = request.keep_alive and request.version >= HttpVersion11
    if not request.body_exists and exchange.client.hold(room, seconds, written, keeps=keeps):
        raise asyncio.CancelledError


async def close(doors: Sequence[Door], known: connections.Connections, patience_seconds: float) -> None:
    """Close all ``doors``, and end every connection within twice ``patience_seconds``."""
    for door in doors:
        door.close()
    known.end()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2 * patience_seconds):
            await asyncio.gather(*(door.closed(patience_seconds) for door in doors))
            while known.answering:  # noqa: ASYNC110  # held requests: they are let go of in the next turns
                await asyncio.sleep(_TURN_SECONDS)


def render(answer: answers.Answer) -> web.Response:
    """Return ``answer`` as JSON, one object and a newline."""
    return respond(answer.status, answer.body, response.JSON, answer.headers)


def respond(status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return a response with the headers that every one of ours has; ``headers`` come before them."""
    return web.Response(
        status=status, body=body, headers={**response.HEADERS, "Content-Type": content_type, **(headers or {})}
    )


def problem(status: int, text: str, headers: dict[str, str] | None = None) -> answers.Answer:
    """Return the answer for a request that cannot be served."""
    return answers.Answer(status, {"error": text}, headers or {})
