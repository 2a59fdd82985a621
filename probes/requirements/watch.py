"""Looking at every requirement in the background, so that no answer ever waits for one.

Rules
-----
* Each mount, and the identity directory, has one thread of its own, made once: a file system that hangs holds up that one and
  nothing else, and no second look begins before the first has ended.
* Checks are tasks of the event loop, with places of their own: programs' checks that hang do not hold them up.
* A fault of ours in a look is an unmet requirement, and is logged once for each.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable

from contract import clock, rundir
from manifest import serving
from probes import background, observed
from probes.checks import runner, verdict
from probes.requirements import board, condition, mount, own_identity

_log = logging.getLogger(__name__)

Look = Callable[[], verdict.Outcome]
"""Blocks for as long as what it looks at."""


class Watch:
    """The looks at all that the plan requires, and at the identity; it belongs to the event loop."""

    def __init__(self, known: observed.Observed, run: rundir.RunDirectory, loop: asyncio.AbstractEventLoop) -> None:
        """Prepare to tell ``known`` what is found; the identity is required from now on."""
        self._known = known
        self._loop = loop
        plan = known.loaded.plan
        ours = (run.path, *(root.path for root in plan.boot.writable))
        known.require(board.THE_IDENTITY)
        self._lookers = [
            *(self._looker(board.MOUNT, one.path, mount.Look(one, ours).once) for one in plan.readiness.mounts),
            self._looker(board.IDENTITY, board.IDENTITY, functools.partial(own_identity.look, run, known.boot)),
        ]
        self._conditions = plan.readiness.conditions
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; raises RuntimeError when the system has no thread left."""
        for looker in self._lookers:
            looker.start()
        attempts = runner.Attempts(self._known.checks)
        self._tasks = [self._loop.create_task(self._follow(one, attempts)) for one in self._conditions]

    def stop(self) -> None:
        """Begin no more looks; those under way are not waited for."""
        for looker in self._lookers:
            looker.stop()
        for task in self._tasks:
            task.cancel()

    def _looker(self, kind: str, name: str, look: Look) -> background.Periodic:
        attempt = Attempt(look, board.label(kind, name))

        def work() -> None:
            began = clock.monotonic()
            found = attempt.make()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
                self._loop.call_soon_threadsafe(self._known.take_requirement, kind, name, found, began)

        return background.Periodic(board.label(kind, name), work, board.LOOK_SECONDS)

    async def _follow(self, wanted: serving.ConditionPlan, attempts: runner.Attempts) -> None:
        def tell(found: verdict.Outcome, began: float) -> None:
            self._known.take_requirement(board.CHECK, wanted.name, found, began)

        await condition.follow(wanted, attempts, tell)


class Attempt:
    """Looks whose faults are findings."""

    def __init__(self, look: Look, what: str) -> None:
        """Look by ``look`` at ``what``."""
        self._look = look
        self._what = what
        self._was_told = False

    def make(self) -> verdict.Outcome:
        """Return what the look finds; whatever goes wrong in it is a finding too."""
        try:
            return self._look()
        except Exception as error:
            if not self._was_told:
                self._was_told = True
                _log.exception("the look at %s broke", self._what)
            return verdict.failed(f"it could not be looked at: {type(error).__name__}")
