"""The program that every system of the measures runs, and what a measure wants of it.

Rules
-----
* It is the same program everywhere: ``worker.c``, compiled with cc where there is one, else the same in Python, which costs
  10 ms of CPU at each start; the head of the output says which.
* It says itself when it started and when it became ready, on CLOCK_MONOTONIC, which is Python's ``time.monotonic``.
"""

import dataclasses
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trials

RUNNING, NOTIFY = "running", "notify"
_HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a system is to run: ``number`` programs of one kind.

    ``ready`` is how a program shows that it is ready: RUNNING (it lived for ``lasting_seconds``) or NOTIFY (it says so,
    ``ready_after_ms`` after its start). ``stop_ms`` is what it needs to stop.
    """

    number: int
    ready: str = RUNNING
    lasting_seconds: int = 0
    ready_after_ms: int = 0
    stop_ms: int = 0

    @property
    def names(self) -> list[str]:
        """The programs' names."""
        return [f"p{index}" for index in range(self.number)]


def command(scene: Scene, notes: Path, name: str, descriptor: int | None, *, is_told: bool) -> list[str]:
    """Return the argv of program ``name``; where the system ``is_told``, it is on ``descriptor`` (s6) or by sd_notify."""
    argv = [*executable(), "--announce", str(notes / name)]
    if scene.ready_after_ms:
        argv += ["--ready-after-ms", str(scene.ready_after_ms)]
    if scene.stop_ms:
        argv += ["--stop-ms", str(scene.stop_ms)]
    if scene.ready == NOTIFY and is_told:
        argv += ["--notify"] if descriptor is None else ["--descriptor", str(descriptor)]
    return argv


@dataclasses.dataclass(frozen=True)
class Note:
    """What a program said of itself: ``what`` ("started", "ready"), when (monotonic seconds), and its pid."""

    what: str
    moment: float
    pid: int


def notes_of(notes: Path, name: str) -> list[Note]:
    """Return what program ``name`` said so far."""
    try:
        lines = (notes / name).read_text().splitlines()
    except FileNotFoundError:
        return []
    parts = [line.split() for line in lines]
    return [Note(what, int(nanoseconds) / 1e9, int(pid)) for what, nanoseconds, pid in parts]


def last_note(notes: Path, name: str, what: str) -> Note | None:
    """Return the last ``what`` that program ``name`` said, or None."""
    return next((note for note in reversed(notes_of(notes, name)) if note.what == what), None)


def wait_for_all(scene: Scene, notes: Path, what: str, seconds: float = trials.PATIENCE_SECONDS) -> dict[str, Note]:
    """Return each program's ``what``; raises trials.Missed."""
    found: dict[str, Note] = {}
    end = time.monotonic() + seconds
    while missing := [name for name in scene.names if name not in found]:
        for name in missing:
            if (note := last_note(notes, name, what)) is not None:
                found[name] = note
        if time.monotonic() > end:
            raise trials.Missed(f"{len(missing)} programs did not say {what!r}")
        time.sleep(0.005)
    return found


@functools.cache
def executable() -> tuple[str, ...]:
    """Return how the program is called."""
    compiler = shutil.which("cc")
    if compiler is None:
        return (sys.executable, "-I", "-S", str(_HERE / "worker.py"))
    directory = tempfile.mkdtemp(prefix="bs-worker-", dir="/tmp")
    trials.AT_EXIT.callback(shutil.rmtree, directory)
    os.chmod(directory, 0o755)
    target = f"{directory}/worker"
    static = [compiler, "-O1", "-static", "-o", target, str(_HERE / "worker.c")]
    if subprocess.run(static, check=False, capture_output=True, timeout=60).returncode != 0:
        static.remove("-static")
        subprocess.run(static, check=True, timeout=60)
    return (target,)


def describe() -> str:
    """Say what the program is."""
    return "worker.c, compiled here" if len(executable()) == 1 else "worker.py: no cc on PATH, so each start costs more"
