"""The work of ``bootseal up``: compile to a directory of its own, boot it below this process, show its events."""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from contract import clock, errors, exit_codes, rundir
from entrypoint import building, display, foreground, locked_manifest, progress
from manifest import compile as compiling
from manifest import plan

_POLL_SECONDS = 0.03
_INSISTENCE_SECONDS = 0.5
"""A stop signal so soon after the first is the same request (timeout(1) sends two), and not one to kill."""


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What the command line asked for; ``timeout_seconds`` is None for no limit but the manifest's."""

    file: str
    until_ready: bool
    timeout_seconds: float | None
    strict: bool
    listen: str | None
    state: str | None
    output: str


def run(wishes: Wishes) -> int:
    """Boot as wished and return the exit code; raises BootsealError for what the user can correct."""
    with _state_directory(wishes.state) as state:
        loaded = _compile(wishes, state)
        if loaded is None:
            return exit_codes.USAGE_ERROR
        return _boot(wishes, state, loaded)


@contextlib.contextmanager
def _state_directory(wanted: str | None) -> Iterator[str]:
    """Give a directory for everything this boot writes; one of our own making is removed afterwards."""
    if wanted is not None:
        path = os.path.realpath(wanted)
        rundir.check_socket_paths(f"{path}/run")
        os.makedirs(path, mode=0o700, exist_ok=True)
        with _only_user(path):
            yield path
        return
    parent = os.path.realpath(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    path = tempfile.mkdtemp(prefix="bootseal-", dir=parent if os.access(parent, os.W_OK) else None)
    try:
        rundir.check_socket_paths(f"{path}/run")
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _only_user(path: str) -> Iterator[None]:
    """Hold the directory ``path`` for this boot: a second one would remove the seal and the sockets of the first."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        why = "another `bootseal up` runs there"
        raise errors.BootsealError(f"--state {path}", why, "stop it, or name another directory") from error
    finally:
        os.close(fd)


def _compile(wishes: Wishes, state: str) -> plan.LoadedPlan | None:
    """Return the compiled plan in ``state``, or None after printing what is wrong with the manifest."""
    relocation = compiling.Relocation(f"{state}/root", True, wishes.strict, wishes.listen)
    options = compiling.BuildOptions(sys.prefix, f"{state}/run", relocation)
    result, lock = locked_manifest.load(wishes.file, options)
    building.report(result, sys.stderr)
    if result.plan is None:
        return None
    directory = f"{state}/plan"
    os.makedirs(directory, exist_ok=True)
    building.write(building.finish(result.plan, lock, prove=False), directory)
    return plan.load(directory)


def _boot(wishes: Wishes, state: str, loaded: plan.LoadedPlan) -> int:
    screen = display.choose(wishes.output, wishes.file, loaded, state)
    log = os.open(f"{state}/output.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    argv = [sys.executable, "-I", "-X", "utf8", "-m", "entrypoint", "boot"]
    argv += ["--plan", loaded.directory, "--run-dir", loaded.plan.run_directory]
    tail = EventTail(rundir.RunDirectory(loaded.plan.run_directory).events)
    with _stop_signals() as received:
        boot = foreground.Foreground(argv, log)
        os.close(log)
        try:
            with screen:
                return _Watch(wishes, boot, screen, tail, loaded.plan).to_the_end(received)
        finally:
            boot.sweep()


class _Watch:
    """Follows one boot by its events, stops it when that is wished, and knows how it ended."""

    def __init__(
        self,
        wishes: Wishes,
        boot: foreground.Foreground,
        screen: display.Display,
        tail: "EventTail",
        the_plan: plan.Plan,
    ) -> None:
        self._wishes = wishes
        self._boot = boot
        self._screen = screen
        self._tail = tail
        names = (program.name for program in the_plan.programs if program.role in {"program", "stage-b"})
        self._state = progress.begin(tuple(names))
        self._started = clock.monotonic()
        self._timed_out = False
        self._was_ready = False

    def to_the_end(self, received: list[float]) -> int:
        """Return the exit code; ``received`` grows with the moment of each stop signal of ours."""
        stops = 0
        while True:
            code = self._boot.exit_code()  # before the events: those of an ended boot are all there
            self._show_events()
            if code is not None:
                break
            while stops < len(received):
                if stops == 0 or received[stops] - received[0] >= _INSISTENCE_SECONDS:
                    self._boot.stop()
                stops += 1
            self._judge()
            self._screen.tick(self._state)
            time.sleep(_POLL_SECONDS)
        if self._timed_out and code == exit_codes.OK:
            code = exit_codes.INFRASTRUCTURE_FAILURE
        self._screen.end(code, self._state)
        return code

    def _show_events(self) -> None:
        for event in self._tail.read():
            at_seconds = clock.monotonic() - self._started
            before, self._state = self._state, progress.after(self._state, event, at_seconds)
            self._screen.show(event, before, self._state, at_seconds)

    def _judge(self) -> None:
        """Stop the boot once it is ready and no more was wished, or when it is not ready in time."""
        if self._was_ready or self._timed_out:
            return
        limit = self._wishes.timeout_seconds
        if self._state.state == progress.READY:
            self._was_ready = True
            if self._wishes.until_ready:
                self._boot.stop()
        elif limit is not None and clock.monotonic() - self._started > limit:
            self._timed_out = True
            self._screen.note(f"not ready within {limit:g} s, stopping")
            self._boot.stop()


class EventTail:
    """Reads the events that were appended to ``events.jsonl`` since the last look, over its rotation.

    What stands there at first is of an earlier boot, and is not read: its READY is not this boot's.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._rest = b""
        if self._open():
            os.lseek(self._fd, 0, os.SEEK_END)

    def read(self) -> list[dict[str, Any]]:
        """Return the new events, oldest first."""
        lines: list[bytes] = []
        while self._open():
            data = self._rest
            while chunk := os.read(self._fd, 65536):
                data += chunk
            *whole, self._rest = data.split(b"\n")
            lines.extend(whole)
            if not self._was_rotated():
                break
        return [json.loads(line) for line in lines]

    def _open(self) -> bool:
        if self._fd < 0:
            with contextlib.suppress(FileNotFoundError):
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return self._fd >= 0

    def _was_rotated(self) -> bool:
        """Say whether a new file began; then the next look starts at its first line."""
        try:
            current = os.stat(self._path)
        except FileNotFoundError:
            return False
        if os.path.samestat(current, os.fstat(self._fd)):
            return False
        os.close(self._fd)
        self._fd, self._rest = -1, b""
        return True


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[float]]:
    """Collect the moments of stop signals instead of dying of them."""
    received: list[float] = []

    def collect(_number: int, _frame: FrameType | None) -> None:
        received.append(clock.monotonic())

    before = {number: signal.signal(number, collect) for number in exit_codes.STOP_SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
