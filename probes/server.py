"""The life of the probe server: answer until told to stop, and leave within a second."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from typing import Any

from contract import boot_record, events, rundir
from manifest import plan
from probes import app, background, feed, listeners, observed, paths, seal_watch
from probes.checks import outbox, runner
from supervisord import client

TICK_SECONDS = 0.25
_CLOSE_SECONDS = 0.4


async def serve(
    run: rundir.RunDirectory,
    boot: boot_record.BootRecord,
    loaded: plan.LoadedPlan,
    sockets: tuple[socket.socket, socket.socket | None],
    *,
    subscription: socket.socket | None,
    take_over: Callable[[], list[app.Kept]],
) -> None:
    """Answer on ``sockets`` until SIGTERM or SIGINT.

    ``subscription`` is already connected to PID 1's feed; ``take_over`` ends whoever answered on the first
    socket until now and returns the connections it kept.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    known = observed.Observed(boot, loaded, events.Emitter("probes", boot.boot_id, run.events))
    servers = [await app.listen(paths.probe_site(known, run, _endpoints(sockets)), sockets[0], take_over())]
    if sockets[1] is not None:
        servers.append(await app.listen(paths.metrics_site(known), sockets[1]))
    verdicts = outbox.Outbox()
    checks = runner.Runner(loaded.plan, verdicts, known.checks)
    watchers = _watch(known, run, loop, checks)
    tasks = [
        loop.create_task(feed.follow(run.ledger_socket, known.take_message, subscription, verdicts)),
        loop.create_task(_tick(known)),
    ]
    for watcher in watchers:
        watcher.start()
    stopping = loop.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    known.room.release()
    checks.stop()
    for watcher in watchers:
        watcher.stop()
    await _close(servers)
    for task in tasks:
        task.cancel()
    for ended in done:
        ended.result()  # a task that broke ends this process: supervisord starts a whole one


def _watch(
    known: observed.Observed, run: rundir.RunDirectory, loop: asyncio.AbstractEventLoop, checks: runner.Runner
) -> tuple[background.Periodic, background.Periodic]:
    """Return the watchers' threads; their findings reach ``known`` in the loop, and each new ledger ``checks``."""

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
        sealer.wake()

    known.on_gap = rereader.wake
    known.on_ledger = on_ledger
    return rereader, sealer


async def _tick(known: observed.Observed) -> None:
    """Measure the loop's lag, and notice what changes by time alone."""
    loop = asyncio.get_running_loop()
    while True:
        meant = loop.time() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        now = loop.time()
        known.heartbeat.note_lag(max(0.0, now - meant), now)
        known.readiness()


async def _close(servers: list[tuple[Any, asyncio.Server]]) -> None:
    """Stop accepting, let answers under way out, and end every connection."""
    for manager, server in servers:
        server.close()
        manager.pre_shutdown()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2 * _CLOSE_SECONDS):
            await asyncio.gather(*(manager.shutdown(_CLOSE_SECONDS) for manager, _ in servers))


def _endpoints(sockets: tuple[socket.socket, socket.socket | None]) -> dict[str, Any]:
    addresses = [None if bound is None else listeners.show(*bound.getsockname()[:2]) for bound in sockets]
    return {"probes": addresses[0], "metrics": addresses[1]}
