"""The document: every path, and what it answers.

Rules
-----
* HEAD answers as GET does, without the body. What other methods and unknown paths are answered with OpenAPI has no place for: it
  stands at ``x-other-methods`` and ``x-other-paths``.
* A status that stands at no path is never answered by it, but for 500, which is a fault of ours.
"""

import functools
import json
from typing import Any

from contract import version
from probes.openapi import schemas, shapes, statuses

TYPE = "application/json; charset=utf-8"

_WAIT = {
    "name": "wait",
    "in": "query",
    "description": "Hold the request until this boot's first seal, at most so long (a minute is the longest): 25s, 500ms, 1m.",
    "schema": {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m)$"},
}
_RESUMING = [
    {
        "name": "after",
        "in": "query",
        "description": "The id of the last event that was taken: what came after it.",
        "schema": {"type": "string"},
    },
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The same, as a browser tells it that comes again.",
        "schema": {"type": "string"},
    },
    {
        "name": "follow",
        "in": "query",
        "description": "false: end after what there is. By default true, and false for application/x-ndjson.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
]


@functools.cache
def encoded() -> bytes:
    """Return the document as it is served."""
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def document() -> dict[str, Any]:
    """Return the document as plain JSON values."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "bootseal",
            "version": version.VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": (
                "What the probe server of a container answers. A trailing slash makes no difference; a request's body is never read. "
                "Times are RFC 3339 in UTC, durations seconds. Detail is answered where and to whom the manifest says (probes.detail)."
            ),
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "probes", "description": "What anybody may ask."},
            {"name": "detail", "description": "What reveals more."},
        ],
        "paths": _paths(),
        "x-other-methods": shapes.ref("MethodNotAllowed", "responses"),
        "x-other-paths": shapes.ref("NotFound", "responses"),
        "components": {
            "schemas": schemas.all_of_them(),
            "responses": statuses.responses(),
            "headers": statuses.headers(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Where the manifest names a token."}
            },
        },
    }


def _paths() -> dict[str, Any]:
    live = {"200": statuses.of_json("Live", "It turns."), "503": statuses.unavailable("Dead", "PID 1 is wedged.")}
    ready = {"200": statuses.of_json("Ready", "Ready now."), "503": statuses.unavailable("Unready", "Not ready now.")}
    sealed = {
        "200": statuses.of_json("Sealed", "Sealed once."),
        "503": statuses.unavailable("Unsealed", "Not sealed yet."),
    }
    identity = {
        "200": statuses.of_json("Identity", "As the identity directory says now."),
        "503": shapes.ref("Unavailable", "responses"),
    }
    metrics = {
        "200": statuses.answer(
            "The values of the moment.",
            {"application/openmetrics-text": {"type": "string"}, "text/plain": {"type": "string"}},
        ),
        "503": shapes.ref("Unavailable", "responses"),
    }
    described = {
        "200": statuses.answer("OpenAPI 3.1.", {statuses.JSON: {"type": "object", "required": ["openapi"]}}),
        "503": shapes.ref("Unavailable", "responses"),
    }
    page = {"200": statuses.answer("HTML, whole in itself.", {"text/html": {"type": "string"}})}
    told = {"schema": {"type": "string"}, "x-item-schema": shapes.ref("Event")}
    stream = {
        "200": {
            **statuses.answer("A stream.", {}),
            "content": {"text/event-stream": told, "application/x-ndjson": told},
        }
    }
    return {
        "/livez": _probe("livez", "Does this container still turn?", live),
        "/healthz": _probe("healthz", "/livez under the name that Kubernetes' own components have.", live),
        "/startupz": _probe("startupz", "Did this boot ever complete?", sealed, [_WAIT]),
        "/ready": _probe("ready", "Is it ready now, and if not, why?", ready, [_WAIT]),
        "/readyz": _probe("readyz", "/ready under the name that Kubernetes' own components have.", ready, [_WAIT]),
        "/whoami": _probe("whoami", "Who is this container?", identity),
        "/metrics": _probe("metrics", "OpenMetrics or Prometheus text, by Accept.", metrics),
        "/openapi.json": _probe("openapi", "This document.", described),
        "/health": _detail(
            "health", "The whole picture, for a person.", {"200": statuses.of_json("Health", "Always 200.")}
        ),
        "/": _detail("page", "The status page: a document without data.", page),
        "/v1/events": _detail("events", "The boot's events: what there is, then what comes.", stream, _RESUMING),
        "/v1/meta": _detail("meta", "What runs here?", {"200": statuses.of_json("Meta", "Versions and restrictions.")}),
    }


def _probe(name: str, summary: str, answers: dict[str, Any], parameters: list[Any] | None = None) -> dict[str, Any]:
    return _path(name, summary, {**statuses.PROTOCOL, **answers}, parameters, tag="probes", security=[])


def _detail(name: str, summary: str, answers: dict[str, Any], parameters: list[Any] | None = None) -> dict[str, Any]:
    whole = {**statuses.PROTOCOL, **statuses.RESERVED, **answers}
    return _path(name, summary, whole, parameters, tag="detail", security=[{}, {"token": []}])


def _path(
    name: str,
    summary: str,
    answers: dict[str, Any],
    parameters: list[Any] | None,
    *,
    tag: str,
    security: list[Any],
) -> dict[str, Any]:
    """Return a path with GET and HEAD."""
    operation = {
        "tags": [tag],
        "summary": summary,
        "parameters": parameters or [],
        "security": security,
        "responses": dict(sorted(answers.items())),
    }
    return {
        "get": {"operationId": name, **operation},
        "head": {"operationId": f"{name}Head", **operation},
    }
