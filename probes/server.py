"""The life of the probe server: answer until told to stop, and leave within twice ``_CLOSE_SECONDS`` where the loop turns freely."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from typing import Any

from contract import boot_record, events, rundir
from manifest import plan
from probes import (
    app,
    background,
    connections,
    descriptors,
    event_tail,
    feed,
    listeners,
    meta,
    observed,
    paths,
    seal_watch,
)
from probes.checks import outbox, runner
from probes.requirements import watch
from probes.tracing import sending
from supervisord import client

TICK_SECONDS = 0.25
_CLOSE_SECONDS = 0.4


async def serve(
    run: rundir.RunDirectory,
    boot: boot_record.BootRecord,
    loaded: plan.LoadedPlan,
    sockets: listeners.Sockets,
    *,
    subscription: socket.socket | None,
    take_over: Callable[[], list[app.Kept]],
) -> None:
    """Answer on ``sockets`` until SIGTERM or SIGINT.

    ``subscription`` is already connected to PID 1's feed; ``take_over`` ends whoever answered on the probes'
    socket until now and returns the connections it kept.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    emitter = events.Emitter("probes", boot.boot_id, run.events)
    known = observed.Observed(boot, loaded, emitter)
    traces = sending.Sending(boot, loaded, run, emitter.emit)
    requirements = watch.Watch(known, run, loop)
    clients = connections.Connections(loop.time, descriptors.room_for(connections.CLIENTS_LIMIT))
    known.room.narrow(clients.limit // 2)
    tail = event_tail.Tail(run.events, boot.boot_id)
    endpoints = meta.endpoints(loaded.plan, sockets, run)
    doors = _doors(paths.sites(known, run, endpoints, tail), sockets, clients)
    doors[0].open(take_over())
    for door in doors[1:]:
        door.open()
    verdicts = outbox.Outbox()
    checks = runner.Runner(loaded.plan, verdicts, known.checks)
    watchers = _watch(known, run, loop, checks, traces)
    tasks = [
        loop.create_task(feed.follow(run.ledger_socket, known.take_message, subscription, verdicts)),
        loop.create_task(_tick(known, clients)),
    ]
    for watcher in (*watchers, requirements):
        watcher.start()
    stopping = loop.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    known.room.release()
    tail.close()
    checks.stop()
    for watcher in (*watchers, requirements):
        watcher.stop()
    await app.close(doors, clients, _CLOSE_SECONDS)
    for task in tasks:
        task.cancel()
    for ended in done:
        ended.result()  # a task that broke ends this process: supervisord starts a whole one


def _watch(
    known: observed.Observed,
    run: rundir.RunDirectory,
    loop: asyncio.AbstractEventLoop,
    checks: runner.Runner,
    traces: sending.Sending,
) -> tuple[background.Periodic, background.Periodic]:
    """Return the watchers' threads; their findings reach ``known`` in the loop, and each new ledger ``checks`` and ``traces``."""

    def hand_over(take: Callable[..., None]) -> Callable[..., None]:
        def tell(*finding: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
                loop.call_soon_threadsafe(take, *finding)

        return tell

    reread = feed.Reread(client.Client(run.supervisor_socket), hand_over(known.take_reread))
    watch = seal_watch.SealWatch(
        run.seal,
        lambda: known.copy.ledger,
        lambda: seal_watch.acceptor(known.boot),
        hand_over(known.take_verdict),
    )
    rereader = background.Periodic("reread", reread.read, feed.REREAD_SECONDS, at_once=False)
    sealer = background.Periodic("seal-watch", watch.check, seal_watch.INTERVAL_SECONDS)

    def on_ledger() -> None:
        checks.take(known.copy.ledger)
        traces.take(known.copy.ledger)
        sealer.wake()

    known.on_gap = rereader.wake
    known.on_ledger = on_ledger
    return rereader, sealer


async def _tick(known: observed.Observed, clients: connections.Connections) -> None:
    """Measure the loop's lag, and notice what changes by time alone."""
    loop = asyncio.get_running_loop()
    while True:
        meant = loop.time() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        now = loop.time()
        known.heartbeat.note_lag(max(0.0, now - meant), now)
        known.liveness()
        known.readiness()
        clients.expire()


def _doors(sites: paths.Sites, sockets: listeners.Sockets, clients: connections.Connections) -> list[app.Door]:
    """Return a door for each listening socket, the probes' first."""
    pairs = [
        (sites.probes, sockets.probes),
        (sites.local, sockets.local),
        (sites.metrics, sockets.metrics),
        (sites.detail, sockets.detail),
    ]
    return [app.Door(site, bound, clients) for site, bound in pairs if site is not None and bound is not None]
