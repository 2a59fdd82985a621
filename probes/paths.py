"""The paths of each listener, and who may ask them; what is said comes from ``answers`` and the modules it names.

Rules
-----
* A path that takes a library to answer loads it at the first request, in a thread, and no other answer waits for that.
"""

import asyncio
import importlib
from http import HTTPStatus
from typing import Any

from aiohttp import web

from contract import errors, rundir
from probes import answers, identity, meta, observed, waiting
from probes.app import Handler, Site, problem, render, respond


def probe_site(known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> Site:
    """Return the site of the main listener."""
    site = Site(known)
    add_probes(site, known, run)
    add_detail(site, known, run, endpoints)
    endpoints["paths"] = site.paths
    return site


def add_probes(site: Site, known: observed.Observed, run: rundir.RunDirectory) -> None:
    """Add what anybody may ask."""
    site.add_json("/livez", lambda _: answers.livez(known))
    site.add("/startupz", _startupz(known))
    site.add_json("/ready", lambda _: answers.ready(known))
    site.add("/whoami", _whoami(run))
    site.add("/metrics", _metrics(known))


def add_detail(site: Site, known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> None:
    """Add what reveals more than the probes do: see ``manifest.serving.DetailPlan``."""
    site.add_json("/health", lambda request: answers.health(known, request.remote))
    site.add("/v1/meta", _meta(known, run, endpoints))


def metrics_site(known: observed.Observed) -> Site:
    """Return the site of the metrics' own listener."""
    site = Site(known)
    site.add("/metrics", _metrics(known))
    return site


def _startupz(known: observed.Observed) -> Handler:
    async def startupz(request: web.BaseRequest) -> web.Response:
        wait = request.query.get("wait")
        if wait is not None:
            try:
                seconds = waiting.parse(wait)
            except waiting.BadDuration as error:
                return render(problem(HTTPStatus.BAD_REQUEST, str(error)))
            if not known.startup.sealed:
                await known.room.wait(seconds)
        return render(answers.startupz(known))

    return startupz


def _whoami(run: rundir.RunDirectory) -> Handler:
    async def whoami(_request: web.BaseRequest) -> web.Response:
        try:
            return render(answers.Answer(HTTPStatus.OK, identity.whoami(run)))
        except errors.BootsealError as error:
            return render(problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)))

    return whoami


def _meta(known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> Handler:
    async def describe(_request: web.BaseRequest) -> web.Response:
        await _load("psutil")
        return render(answers.Answer(HTTPStatus.OK, meta.describe(known, run, endpoints)))

    return describe


def _metrics(known: observed.Observed) -> Handler:
    async def metrics(request: web.BaseRequest) -> web.Response:
        module = await _load("probes.metrics")
        body, content_type = module.Metrics(known).render(request.headers.get("Accept", ""))
        return respond(HTTPStatus.OK, body, content_type)

    return metrics


async def _load(name: str) -> Any:
    """Import ``name`` in a thread: the first time it takes tens of milliseconds that no other answer should wait for."""
    if name not in _loaded:
        _loaded[name] = await asyncio.to_thread(importlib.import_module, name)
    return _loaded[name]


_loaded: dict[str, Any] = {}
