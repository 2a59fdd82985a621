"""An answer in HTTP: the headers that every one has, and its bytes where nothing but the standard library is at hand.

Rules
-----
* No answer is kept by anybody, framed, guessed to be another type, or read by a page from elsewhere; none says what software
  or version this is.
"""

import functools
import json
import time
from http import HTTPStatus
from typing import Any

JSON = "application/json; charset=utf-8"
HEADERS = {
    "Cache-Control": "no-store",
    "Server": "bootseal",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def dump(value: dict[str, Any]) -> bytes:
    """Return ``value`` as JSON, one object and a newline; what is no text becomes a question mark."""
    return _encoder.encode(value).encode("utf-8", "replace") + b"\n"


def whole(
    status: int, body: bytes, headers: dict[str, str] | None = None, *, keeps: bool = False, with_body: bool = True
) -> bytes:
    """Return the whole answer with the JSON ``body`` (only its length, without ``with_body``); ``keeps`` the connection or not."""
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    head = _head(status, tuple((headers or {}).items()))
    end = "" if keeps else "Connection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\nDate: {date}\r\n{end}\r\n".encode("ascii") + (
        body if with_body else b""
    )


@functools.lru_cache(maxsize=64)
def _head(status: int, headers: tuple[tuple[str, str], ...]) -> str:
    sent = {**HEADERS, "Content-Type": JSON, **dict(headers)}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {sent[name]}" for name in sent), ""]
    return "\r\n".join(lines)


def refusal(status: HTTPStatus) -> bytes:
    """Return the whole answer to what is no request."""
    return whole(status, dump({"error": status.phrase.lower()}))
