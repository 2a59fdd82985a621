"""``/``: the status page, one self-contained document without data; its script asks /health, /v1/meta and /v1/events.

Rules
-----
* Nothing is loaded from anywhere: style and script stand inline, and the Content-Security-Policy names them by their SHA-256
  (https://www.w3.org/TR/CSP3/), so that nothing else is ever applied or run, whatever a program prints.
* The document is made once, of the files in ``static/``.
"""

import base64
import functools
import hashlib
import importlib.resources
from http import HTTPStatus

from aiohttp import web

from probes.app import Handler, respond

_STYLE, _SCRIPT = b"/*STYLE*/", b"/*SCRIPT*/"
"""Where ``page.html`` has them."""


def handler() -> Handler:
    """Return the handler of the path."""

    async def show(_request: web.BaseRequest) -> web.Response:
        body, policy = document()
        return respond(HTTPStatus.OK, body, "text/html; charset=utf-8", {"Content-Security-Policy": policy})

    return show


@functools.cache
def document() -> tuple[bytes, str]:
    """Return the document and its Content-Security-Policy; raises OSError when this installation is incomplete."""
    files = importlib.resources.files("probes").joinpath("static")
    shell, style, script = (files.joinpath(f"page.{kind}").read_bytes() for kind in ("html", "css", "js"))
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_source(style)}'",
            f"script-src '{_source(script)}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return shell.replace(_STYLE, style).replace(_SCRIPT, script), policy


def _source(inline: bytes) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(inline).digest()).decode()}"
