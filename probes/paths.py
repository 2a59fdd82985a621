"""The paths of each listener, and who may ask them; what is said comes from ``answers`` and the modules it names.

Rules
-----
* Anybody may ask the probes. Detail is answered where and to whom ``manifest.serving.DetailPlan`` says; the unix socket answers
  everything to whom it lets in.
* A path that takes a library to answer loads it at the first request, in a thread, and no other answer waits for that.
* Files, the token's too, are read ``aside``: what cannot be read in time is 503.
"""

import asyncio
import dataclasses
import functools
import importlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from contract import errors, rundir
from manifest import plan, serving
from probes import access, answers, app, aside, event_stream, event_tail, identity, meta, observed, page, waiting
from probes.app import Handler, Site, problem, render, respond
from probes.metrics import scrape


@dataclasses.dataclass(frozen=True)
class Sites:
    """What each listener answers; the local one, the unix socket, everything. ``detail`` has an address of its own, or is None."""

    probes: Site
    local: Site
    metrics: Site
    detail: Site | None


def sites(
    known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any], tail: event_tail.Tail
) -> Sites:
    """Return the sites of ``known``; what answers a path is one and the same for all of them."""
    public, detail, metrics = Site(known), Site(known), Site(known)
    metrics.add("/metrics", _metrics(scrape.Scrapes(known, run)))
    _add_probes(public, known, run)
    public.include(metrics)
    _add_detail(detail, known, run, endpoints, tail)
    local = Site(known)
    for part in (public, detail):
        local.include(part)
    endpoints["paths"] = local.paths
    wanted = known.loaded.plan.probes
    guarded = Site(known)
    guarded.include(detail, guard(wanted), waits=wanted.detail.token_file is not None)
    if wanted.detail.reach in {serving.LOOPBACK, serving.OPEN}:
        public.include(guarded)
    return Sites(public, local, metrics, guarded if wanted.detail.reach == serving.OWN else None)


def _add_probes(site: Site, known: observed.Observed, run: rundir.RunDirectory) -> None:
    """Add what anybody may ask."""
    for path in ("/livez", "/healthz"):
        site.add_json(path, lambda _: answers.livez(known))
    site.add("/startupz", _held(known, answers.startupz(known)), waits=False)
    ready = answers.ready(known)
    for path in ("/ready", "/readyz"):
        site.add(path, _held(known, ready), waits=False)
    site.add("/whoami", _aside("identity", lambda: identity.whoami(run)))
    site.add("/openapi.json", _described)


def _add_detail(
    site: Site, known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any], tail: event_tail.Tail
) -> None:
    """Add what reveals more than the probes do."""
    health = answers.health(known)
    site.add_json("/health", lambda _: health())
    site.add("/v1/meta", _aside("meta", lambda: meta.describe(known, run, endpoints)))
    site.add(event_stream.PATH, event_stream.handler(tail))
    site.add("/", page.handler())


def guard(probes: plan.ProbesPlan) -> app.Guard:
    """Return what refuses detail over TCP to whom it is not meant for."""
    file = probes.detail.token_file
    reading = (
        None if file is None else aside.Aside(f"token file {file}", lambda: functools.partial(access.read_token, file))
    )

    async def refuse(request: web.BaseRequest, path: str) -> answers.Answer | None:
        asked = _asked(request, path)
        refusal = access.judge_client(probes, asked)
        if refusal is None and reading is not None and access.wanted_token(probes, asked) is not None:
            try:
                refusal = access.judge_token(asked, await reading.ask())
            except errors.BootsealError as error:
                refusal = access.closed(error)
        return None if refusal is None else problem(refusal.status, refusal.why, refusal.headers)

    return refuse


def _asked(request: web.BaseRequest, path: str) -> access.Asked:
    given = request.headers
    return access.Asked(
        client=request.remote or "",
        path=path,
        host=given.get("Host", ""),
        origin=given.get("Origin", ""),
        fetch_site=given.get("Sec-Fetch-Site", ""),
        fetch_mode=given.get("Sec-Fetch-Mode", ""),
        authorization=given.get("Authorization", ""),
        is_forwarded=any(name in given for name in access.FORWARDED),
    )


def _held(known: observed.Observed, answer: Callable[[], answers.Answer]) -> Handler:
    """Return the handler that ``?wait=`` holds until this boot's first seal, and never after it: then the room is closed."""

    async def held(request: web.BaseRequest) -> web.Response:
        wait = request.query.get("wait")
        if wait is not None:
            try:
                seconds = waiting.parse(wait)
            except waiting.BadDuration as error:
                return render(problem(HTTPStatus.BAD_REQUEST, str(error)))
            app.hold(request, known.room, seconds, answer)
        return render(answer())

    return held


def _aside(what: str, describe: Callable[[], dict[str, Any]]) -> Handler:
    """Return the handler that answers with what ``describe`` returns, which may block."""
    describing = aside.Aside(what, lambda: describe)

    async def handle(_request: web.BaseRequest) -> web.Response:
        try:
            return render(answers.Answer(HTTPStatus.OK, await describing.ask()))
        except errors.BootsealError as error:
            return _later(error)

    return handle


def _metrics(scrapes: scrape.Scrapes) -> Handler:
    async def metrics(request: web.BaseRequest) -> web.Response:
        try:
            body, content_type = await scrapes.scrape(request.headers.get("Accept", ""))
        except errors.BootsealError as error:
            return _later(error)
        return respond(HTTPStatus.OK, body, content_type)

    return metrics


def _later(error: errors.BootsealError) -> web.Response:
    return render(problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "1"}))


async def _described(_request: web.BaseRequest) -> web.Response:
    module = await _load("probes.openapi.document")
    return respond(HTTPStatus.OK, module.encoded(), module.TYPE)


async def _load(name: str) -> Any:
    """Import ``name`` in a thread: the first time it takes tens of milliseconds that no other answer should wait for."""
    if name not in _loaded:
        _loaded[name] = await asyncio.to_thread(importlib.import_module, name)
    return _loaded[name]


_loaded: dict[str, Any] = {}
