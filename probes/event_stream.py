"""``/v1/events``: the boot's events as a stream, first what there is, then what comes.

Rules
-----
* Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): ``id`` is a cursor, ``event`` the event's
  name, ``data`` its line. Who comes again with the last id gets what came after it, over rotations of the file too; what may be
  missing is told by the event ``gap``.
* A comment every ``BEAT_SECONDS`` without an event tells that the connection lives.
* ``follow=false`` ends after what there is; so does NDJSON, unless ``follow=true`` says otherwise.
* Who does not take what was sent for ``PATIENCE_SECONDS`` is cut off, and may resume; who leaves is no failure.
* A stream is counted when it begins.
"""

import asyncio
import contextlib
from http import HTTPStatus
from typing import cast

from aiohttp import web

from probes import app, event_tail, response
from probes.app import Handler, problem, render

PATH = "/v1/events"
BEAT_SECONDS = 15.0
PATIENCE_SECONDS = 10.0
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
_FOLLOW = {"true": True, "false": False}
_RETRY_MS = 1000
_BEAT = b": still here\n\n"


def handler(tail: event_tail.Tail) -> Handler:
    """Return the handler of the path, for those who listen to ``tail``."""

    async def stream(request: web.BaseRequest) -> web.StreamResponse:
        is_ndjson = NDJSON in request.headers.get("Accept", "")
        follow = _FOLLOW.get(request.query.get("follow", "false" if is_ndjson else "true"))
        if follow is None:
            return render(problem(HTTPStatus.BAD_REQUEST, "follow: it is true or false"))
        after = request.query.get("after", "") or request.headers.get("Last-Event-ID", "")
        try:
            with tail.place():
                return await _send(request, tail, after, is_ndjson=is_ndjson, follow=follow)
        except event_tail.TooManyListeners as error:
            return render(problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "5"}))

    return stream


async def _send(
    request: web.BaseRequest, tail: event_tail.Tail, after: str, *, is_ndjson: bool, follow: bool
) -> web.StreamResponse:
    kind = NDJSON if is_ndjson else f"{SSE}; charset=utf-8"
    answer = web.StreamResponse(headers={**response.HEADERS, "Content-Type": kind, "X-Accel-Buffering": "no"})
    answer.force_close()  # a stream that was cut must not be taken for one that ended
    try:
        await answer.prepare(request)
        cast("app.Exchange", request.protocol).site.count(PATH, answer.status)
        if request.method == "HEAD":
            return answer
        if not is_ndjson:
            await _write(answer, f"retry: {_RETRY_MS}\n\n".encode())
        async with contextlib.aclosing(tail.batches(after, follow=follow, beat_seconds=BEAT_SECONDS)) as batches:
            async for batch in batches:
                if batch:
                    await _write(answer, b"".join(map(ndjson if is_ndjson else sse, batch)))
                else:
                    await _write(answer, b"\n" if is_ndjson else _BEAT)
    except (TimeoutError, event_tail.TooSlow):
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:  # it left: that is how most listeners end
        pass
    return answer


async def _write(answer: web.StreamResponse, data: bytes) -> None:
    """Write ``data``, and wait until the client has room again; raises TimeoutError when it takes nothing."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await answer.write(data)


def sse(frame: event_tail.Frame) -> bytes:
    """Return ``frame`` as a server-sent event; a carriage return, which JSON takes for a space, would end its line."""
    cursor = f"id: {frame.cursor}\n" if frame.cursor else ""
    return f"{cursor}event: {frame.event}\ndata: ".encode() + frame.line.replace(b"\r", b" ") + b"\n\n"


def ndjson(frame: event_tail.Frame) -> bytes:
    """Return ``frame`` as a line."""
    return frame.line + b"\n"
