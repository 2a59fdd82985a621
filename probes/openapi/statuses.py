"""The answers and headers that paths have in common."""

from http import HTTPStatus
from typing import Any

from probes.openapi.shapes import Schema, ref

JSON = "application/json"
_RETRY = {"Retry-After": ref("RetryAfter", "headers")}


def headers() -> dict[str, Any]:
    """Return the headers of every answer, and those of some."""
    return {
        "CacheControl": _fixed("No answer may be kept.", "no-store"),
        "ContentTypeOptions": _fixed("The type is what is said.", "nosniff"),
        "RetryAfter": {
            "description": "Sooner it cannot be otherwise, in seconds.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        },
        "Allow": _fixed("The methods there are.", "GET, HEAD"),
        "Authenticate": _fixed("A token must be shown (RFC 6750).", "Bearer"),
    }


def responses() -> dict[str, Any]:
    """Return the answers that are no path's own."""
    problem = {JSON: ref("Problem")}
    return {
        "BadRequest": answer("The request is malformed, or a parameter of it is.", problem),
        "Unauthorized": answer(
            "The token was not shown.", problem, {"WWW-Authenticate": ref("Authenticate", "headers")}
        ),
        "Forbidden": answer("This is not answered to this client, or under this name.", problem),
        "NotFound": answer("There is no such path on this listener.", problem),
        "MethodNotAllowed": answer("Only GET and HEAD are answered.", problem, {"Allow": ref("Allow", "headers")}),
        "RequestTimeout": answer("The head of the request did not come in time.", problem),
        "HeadTooLarge": answer("The head of the request is too large.", problem),
        "Unavailable": answer("It cannot be had now.", problem, _RETRY),
    }


def answer(description: str, content: dict[str, Schema], more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an answer with ``content`` by type, and the headers ``more`` beside those that every one has."""
    common = {
        "Cache-Control": ref("CacheControl", "headers"),
        "X-Content-Type-Options": ref("ContentTypeOptions", "headers"),
    }
    return {
        "description": description,
        "headers": {**common, **(more or {})},
        "content": {kind: {"schema": schema} for kind, schema in content.items()},
    }


def of_json(schema: str, description: str) -> dict[str, Any]:
    """Return an answer whose body is the component ``schema``."""
    return answer(description, {JSON: ref(schema)})


def unavailable(schema: str, description: str) -> dict[str, Any]:
    """Return a 503 whose body is the component ``schema``."""
    return answer(description, {JSON: ref(schema)}, _RETRY)


PROTOCOL = {
    str(HTTPStatus.BAD_REQUEST.value): ref("BadRequest", "responses"),
    str(HTTPStatus.REQUEST_TIMEOUT.value): ref("RequestTimeout", "responses"),
    str(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE.value): ref("HeadTooLarge", "responses"),
}
"""What any request may be answered with."""

RESERVED = {
    str(HTTPStatus.UNAUTHORIZED.value): ref("Unauthorized", "responses"),
    str(HTTPStatus.FORBIDDEN.value): ref("Forbidden", "responses"),
    str(HTTPStatus.NOT_FOUND.value): ref("NotFound", "responses"),
    str(HTTPStatus.SERVICE_UNAVAILABLE.value): ref("Unavailable", "responses"),
}
"""What a request for detail may be answered with: where it is served, and to whom, is probes.detail in the manifest."""


def _fixed(description: str, value: str) -> dict[str, Any]:
    return {"description": description, "required": True, "schema": {"type": "string", "const": value}}
