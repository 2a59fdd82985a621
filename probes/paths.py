"""The paths of each listener, and who may ask them; what is said comes from ``answers`` and the modules it names.

Rules
-----
* Anybody may ask the probes. Detail is answered where and to whom ``manifest.serving.DetailPlan`` says; the unix socket answers
  everything to whom it lets in.
* A path that takes a library to answer loads it at the first request, in a thread, and no other answer waits for that.
"""

import asyncio
import importlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from contract import errors, rundir
from manifest import plan, serving
from probes import access, answers, app, event_stream, identity, meta, observed, page, waiting
from probes.app import Handler, Site, problem, render, respond
from probes.metrics import scrape


def probe_site(known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> Site:
    """Return the site of the main listener."""
    site = Site(known)
    add_probes(site, known, run)
    if known.loaded.plan.probes.detail.reach in {serving.LOOPBACK, serving.OPEN}:
        site.include(_detail(known, run, endpoints), guard(known.loaded.plan.probes))
    return site


def detail_site(known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> Site:
    """Return the site of detail's own listener."""
    site = Site(known)
    site.include(_detail(known, run, endpoints), guard(known.loaded.plan.probes))
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
    site.add("/startupz", _held(known, answers.startupz), waits=False)
    for path in ("/ready", "/readyz"):
        site.add(path, _held(known, answers.ready), waits=False)
    site.add("/whoami", _whoami(run))
    site.add("/metrics", _metrics(known, run))
    site.add("/openapi.json", _described)


def add_detail(site: Site, known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> None:
    """Add what reveals more than the probes do."""
    site.add_json("/health", lambda _: answers.health(known))
    site.add("/v1/meta", _meta(known, run, endpoints))
    site.add("/v1/events", event_stream.handler(known, run))
    site.add("/", page.handler())


def guard(probes: plan.ProbesPlan) -> app.Guard:
    """Return what refuses detail over TCP to whom it is not meant for."""

    def refuse(request: web.BaseRequest, path: str) -> answers.Answer | None:
        refusal = access.judge(probes, _asked(request, path), access.read_token)
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
    )


def _detail(known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> Site:
    site = Site(known)
    add_detail(site, known, run, endpoints)
    return site


def _held(known: observed.Observed, answer: Callable[[observed.Observed], answers.Answer]) -> Handler:
    """Return the handler that ``?wait=`` holds until this boot's first seal, and never after it: then the room is closed."""

    async def held(request: web.BaseRequest) -> web.Response:
        wait = request.query.get("wait")
        if wait is not None:
            try:
                seconds = waiting.parse(wait)
            except waiting.BadDuration as error:
                return render(problem(HTTPStatus.BAD_REQUEST, str(error)))
            app.hold(request, known.room, seconds, lambda: answer(known))
        return render(answer(known))

    return held


def _whoami(run: rundir.RunDirectory) -> Handler:
    async def whoami(_request: web.BaseRequest) -> web.Response:
        try:
            return render(answers.Answer(HTTPStatus.OK, identity.whoami(run)))
        except errors.BootsealError as error:
            return render(problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "1"}))

    return whoami


def _meta(known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> Handler:
    async def describe(_request: web.BaseRequest) -> web.Response:
        await _load("psutil")
        return render(answers.Answer(HTTPStatus.OK, meta.describe(known, run, endpoints)))

    return describe


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
