"""The paths of each listener, and who may ask them; what is said comes from ``answers`` and the modules it names.

Rules
-----
* Anybody may ask the probes. Detail is answered where and to whom ``manifest.serving.DetailPlan`` says; the unix socket answers
  everything to whom it lets in.
* A path that takes a library to answer loads it at the first request, in a thread, and no other answer waits for that.
* Files, the token's too, are read ``aside``: what cannot be read in time is 503.
"""

import asyncio
import importlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from contract import errors, rundir
from manifest import plan, serving
from probes import access, answers, app, aside, event_stream, identity, meta, observed, page, waiting
from probes.app import Handler, Site, problem, render, respond
from probes.metrics import scrape


def probe_site(known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> Site:
    """Return the site of the main listener."""
    site = Site(known)
    add_probes(site, known, run)
    if known.loaded.plan.probes.detail.reach in {serving.LOOPBACK, serving.OPEN}:
        _include_detail(site, known, run, endpoints)
    return site


def detail_site(known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> Site:
    """Return the site of detail's own listener."""
    site = Site(known)
    _include_detail(site, known, run, endpoints)
    return site


def local_site(known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> Site:
    """Return the site of the unix socket: everything."""
    site = Site(known)
    add_probes(site, known, run)
    add_detail(site, known, run, endpoints)
    endpoints["paths"] = site.paths
    return site


def metrics_site(known: observed.Observed, run: rundir.RunDirectory) -> Site:
    """Return the site of the metrics' own listener."""
    site = Site(known)
    site.add("/metrics", _metrics(known, run))
    return site


def add_probes(site: Site, known: observed.Observed, run: rundir.RunDirectory) -> None:
    """Add what anybody may ask."""
    for path in ("/livez", "/healthz"):
        site.add_json(path, lambda _: answers.livez(known))
    site.add("/startupz", _held(known, answers.startupz(known)), waits=False)
    ready = answers.ready(known)
    for path in ("/ready", "/readyz"):
        site.add(path, _held(known, ready), waits=False)
    site.add("/whoami", _whoami(run))
    site.add("/metrics", _metrics(known, run))
    site.add("/openapi.json", _described)


def add_detail(site: Site, known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> None:
    """Add what reveals more than the probes do."""
    health = answers.health(known)
    site.add_json("/health", lambda _: health())
    site.add("/v1/meta", _meta(known, run, endpoints))
    site.add("/v1/events", event_stream.handler(known, run))
    site.add("/", page.handler())


def guard(probes: plan.ProbesPlan) -> app.Guard:
    """Return what refuses detail over TCP to whom it is not meant for."""
    file = probes.detail.token_file
    reading = None if file is None else aside.Aside(f"token file {file}", lambda: access.read_token(file))

    async def refuse(request: web.BaseRequest, path: str) -> answers.Answer | None:
        asked = _asked(request, path)
        refusal = access.judge_client(probes, asked)
        if refusal is None and reading is not None and access.wanted_token(probes, asked) is not None:
            try:
                refusal = access.judge_token(asked, await reading.ask())
            except (access.NoToken, aside.TooLate) as error:
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


def _detail(known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> Site:
    site = Site(known)
    add_detail(site, known, run, endpoints)
    return site


def _include_detail(site: Site, known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> None:
    probes = known.loaded.plan.probes
    site.include(_detail(known, run, endpoints), guard(probes), waits=probes.detail.token_file is not None)


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


def _whoami(run: rundir.RunDirectory) -> Handler:
    return _aside("identity", lambda: identity.whoami(run))


def _meta(known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> Handler:
    return _aside("meta", lambda: meta.describe(known, run, endpoints))


def _aside(what: str, describe: Callable[[], dict[str, Any]]) -> Handler:
    """Return the handler that answers with what ``describe`` returns, which may block."""
    describing = aside.Aside(what, describe)

    async def handle(_request: web.BaseRequest) -> web.Response:
        try:
            return render(answers.Answer(HTTPStatus.OK, await describing.ask()))
        except errors.BootsealError as error:
            return render(problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "1"}))

    return handle


def _metrics(known: observed.Observed, run: rundir.RunDirectory) -> Handler:
    async def metrics(request: web.BaseRequest) -> web.Response:
        body, content_type = await scrape.of(known, run).scrape(request.headers.get("Accept", ""))
        return respond(HTTPStatus.OK, body, content_type)

    return metrics


async def _described(_request: web.BaseRequest) -> web.Response:
    module = await _load("probes.openapi.document")
    return respond(HTTPStatus.OK, module.encoded(), module.TYPE)


async def _load(name: str) -> Any:
    """Import ``name`` in a thread: the first time it takes tens of milliseconds that no other answer should wait for."""
    if name not in _loaded:
        _loaded[name] = await asyncio.to_thread(importlib.import_module, name)
    return _loaded[name]


_loaded: dict[str, Any] = {}
