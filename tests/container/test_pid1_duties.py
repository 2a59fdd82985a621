"""PID 1's duties where it really is PID 1: orphans, signals, descriptors, and a stop signal at any moment of the boot.

Rules
-----
* The image is the hello example's; where a test needs programs of its own, their plan and they are mounted into it.
* PID 1 is asked over its own socket, from the host by way of /proc: no process is added to the container by looking.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contract import errors, snapshot
from supervisord import client
from tests.container import box, plans
from tests.container.conftest import Boxes, Start
from tests.container.test_stop import STAGE_A_STOPPED, signal_early

pytestmark = pytest.mark.container

PROGRAMS = box.PROJECT / "tests" / "integration" / "programs"
ORPHANS = 10_000
PIDS_LIMIT = 2048
AT_ONCE = 3
EARLY_MS = range(0, 601, 10)
AFTER_HUP_MS = range(0, 31, 2)
HARDENED = (*box.HARDENED, *box.USER, *box.TMPFS)


def manifest() -> dict[str, Any]:
    def program(script: str, *arguments: str) -> dict[str, Any]:
        return {"command": ["python3", "-I", "-S", f"/opt/duties/{script}", *arguments], "ready": {"fd": 3}}

    worker = program("stop_worker.py", "/run/told", "worker")
    crasher = {
        "command": ["sh", "-c", "while ! [ -e /run/die ]; do sleep 0.05; done; exit 1"],
        "ready": {"fd": 3},
        "required": False,
        "start_retries": 1000,
        "restart": {"backoff": "1ms", "cap": "1ms", "limit": 1000},
    }
    programs = {"worker": worker, "orphans": program("stop_orphans.py"), "crasher": crasher}
    signals = {"HUP": ["worker"], "USR1": ["orphans"], "USR2": ["orphans"]}
    return {"version": 1, "name": "duties", "programs": programs, "signals": signals}


@pytest.fixture(scope="module")
def duties(hello_image: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """What to start: the hello image with the programs of this file."""
    mounts = (plans.mounted(tmp_path_factory.mktemp("duties"), manifest()), f"--volume={PROGRAMS}:/opt/duties:ro")
    return (hello_image, *HARDENED, f"--pids-limit={PIDS_LIMIT}", *mounts)


class Inside:
    """A running container, seen from the host."""

    def __init__(self, ours: box.Box) -> None:
        self.box = ours
        self.pid1 = int(ours.inspect("{{.State.Pid}}"))
        self._root = pathlib.Path(f"/proc/{self.pid1}/root")

    def wait_sealed(self) -> "Inside":
        self.wait(lambda: self.ledger_or_none(lambda ledger: ledger.phase == snapshot.SEALED), "sealed")
        return self

    def ledger(self) -> snapshot.Snapshot:
        socket = str(self._root / "run/bootseal/supervisor.sock")
        return client.Client(socket).snapshot(timeout_seconds=box.PATIENCE_SECONDS)

    def ledger_or_none(self, is_right: Callable[[snapshot.Snapshot], bool]) -> snapshot.Snapshot | None:
        """Return the ledger once it is ``is_right``, None while PID 1 does not listen yet."""
        with contextlib.suppress(errors.BootsealError):
            ledger = self.ledger()
            return ledger if is_right(ledger) else None
        return None

    def wait(self, claim: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + box.PATIENCE_SECONDS
        while not (value := claim()):
            assert time.monotonic() < deadline, f"never happened: {what}\n{self.seen()}\n{self.box.log()[-3000:]}"
            time.sleep(0.02)
        return value

    def seen(self) -> list[tuple[int, str, str]]:
        """Return the pid, state and command line of the first processes in the container."""
        return [(pid, _state(pid), " ".join(_words(pid))[:100]) for pid in self.box.host_pids()[:20]]

    def program(self, name: str) -> snapshot.ProgramView:
        view = self.ledger().program(name)
        assert view is not None
        return view

    def signal(self, number: int) -> None:
        os.kill(self.pid1, number)

    def told(self, what: str) -> bool:
        """Say whether the worker told ``what``."""
        path = self._root / "run/told"
        return path.exists() and any(json.loads(line)["what"] == what for line in path.read_text().splitlines())

    def zombies(self) -> list[int]:
        return [pid for pid in self.box.host_pids() if _state(pid) == "Z"]

    def strangers(self) -> list[int]:
        """Return the processes that are no program's of the ledger; the crasher's short sleep, now and then another, is its own."""
        own = {view.name: view.pid for view in self.ledger().programs if view.pid is not None}
        seen = [(pid, *_family(pid)) for pid in self.box.host_pids()[1:]]
        crasher = next(pid for pid, _, inner in seen if inner == own["crasher"])
        return [pid for pid, parent, inner in seen if inner and inner not in own.values() and parent != crasher]

    def memory_kib(self) -> int:
        return int(self.box.status_of(self.pid1)["VmRSS"].split()[0])

    def make(self, path: str) -> pathlib.Path:
        made = self._root / path.lstrip("/")
        made.touch()
        return made


def _words(pid: int) -> list[str]:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def _family(pid: int) -> tuple[int, int]:
    """Return the host's pid of the parent of ``pid``, and its own pid in the container; zeros when it ended."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0, 0
    facts = dict(line.split(":", 1) for line in text.splitlines())
    return int(facts["PPid"]), int(facts["NSpid"].split()[-1])


def _state(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.fixture
def inside(start: Start, duties: tuple[str, ...]) -> Inside:
    return Inside(start(*duties)).wait_sealed()


# --- orphans ----------------------------------------------------------------------------------------------------------


def test_ten_thousand_orphans_are_reaped_while_pid_1_answers(inside: Inside) -> None:
    def ask_until(count: int) -> int:
        asked = 0
        while f"orphans {count}\n" not in inside.box.log():
            assert inside.ledger().phase == snapshot.SEALED
            asked += 1
            assert inside.box.is_running()
        return asked

    inside.signal(signal.SIGUSR1)
    ask_until(ORPHANS // 5)
    before = inside.memory_kib()
    assert ask_until(ORPHANS) > 1
    inside.wait(lambda: not inside.zombies(), "no zombie is left")
    assert inside.program("orphans").exits == 0
    assert inside.memory_kib() - before < 2048, "so many orphans cost no memory that a few do not"
    inside.wait(lambda: not inside.strangers(), "nobody is left but PID 1 and its programs")


def test_a_fork_bomb_of_orphans_ends_with_the_container(start: Start, duties: tuple[str, ...]) -> None:
    inside = Inside(start(*duties, "--pids-limit=256")).wait_sealed()
    inside.signal(signal.SIGUSR2)
    inside.wait(lambda: len(inside.box.host_pids()) > 200, "it fills the container")
    namespace = os.readlink(f"/proc/{inside.pid1}/ns/pid")
    for _ in range(10):
        assert inside.ledger().phase == snapshot.SEALED
    inside.signal(signal.SIGTERM)
    assert inside.box.wait_until_exited() == 0, inside.box.log()[-3000:]
    left = [pid for pid in os.listdir("/proc") if pid.isdecimal() and _namespace(pid) == namespace]
    assert not left


def _namespace(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


# --- signals and descriptors ------------------------------------------------------------------------------------------


def test_a_mapped_hup_reaches_its_program_and_reloads_nothing(inside: Inside) -> None:
    before = inside.ledger()
    inside.signal(signal.SIGHUP)
    inside.wait(lambda: inside.told("SIGHUP"), "the worker has it")
    after = inside.ledger()
    assert (after.generation, after.phase) == (before.generation, snapshot.SEALED)
    assert [view.pid for view in after.programs] == [view.pid for view in before.programs]


def descriptors(pid: int) -> set[int]:
    return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}


def test_no_descriptor_leaks_into_a_program_or_stays_in_pid_1(inside: Inside) -> None:
    pids = {words(pid): pid for pid in inside.box.host_pids()[1:]}
    for name in ("stop_worker.py", "stop_orphans.py", "sh"):
        [pid] = [pid for said, pid in pids.items() if name in said]
        assert descriptors(pid) == {0, 1, 2, 3}, name
    before = descriptors(inside.pid1)
    marker = inside.make("/run/die")
    inside.wait(lambda: inside.program("crasher").restarts >= 200, "two hundred restarts")
    marker.unlink()
    inside.wait(lambda: inside.program("crasher").supervisor_state == "RUNNING", "it runs again")
    inside.wait(lambda: len(descriptors(inside.pid1)) == len(before), "as many descriptors as before")


def words(pid: int) -> tuple[str, ...]:
    """Return the words of the command line of ``pid``, of paths the last part; none of a process that ended."""
    return tuple(word.rpartition("/")[2] for word in _words(pid))


# --- a stop signal at any moment ----------------------------------------------------------------------------------------


@pytest.fixture
def boxes_of_a_test() -> Iterator[Boxes]:
    made = Boxes()
    yield made
    made.remove()


def test_sigterm_at_every_ten_milliseconds_of_the_boot_is_never_lost(
    boxes_of_a_test: Boxes, hello_image: str, tmp_path: pathlib.Path
) -> None:
    def stopped(moment_ms: int) -> tuple[int, str]:
        pidfile = tmp_path / str(moment_ms)
        ours = boxes_of_a_test.start(hello_image, *HARDENED, f"--pidfile={pidfile}", started=False)
        signal_early(ours, pidfile, signal.SIGTERM, moment_ms)
        return ours.wait_until_exited(), ours.log()

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        codes = dict(zip(EARLY_MS, pool.map(stopped, EARLY_MS), strict=True))
    wrong = {moment: seen for moment, seen in codes.items() if seen[0] not in {0, STAGE_A_STOPPED}}
    assert not wrong
    assert {code for code, _ in codes.values()} == {0, STAGE_A_STOPPED}, "both halves of the boot were hit"
    assert not [moment for moment, (_, log) in codes.items() if "BootstrapFailed" in log]


def test_sigterm_right_after_sighup_is_never_lost(boxes_of_a_test: Boxes, hello_image: str) -> None:
    def stopped(moment_ms: int) -> tuple[int, str]:
        inside = Inside(boxes_of_a_test.start(hello_image, *HARDENED)).wait_sealed()
        inside.signal(signal.SIGHUP)
        time.sleep(moment_ms / 1000)
        inside.signal(signal.SIGTERM)
        return inside.box.wait_until_exited(), inside.box.log()

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        codes = dict(zip(AFTER_HUP_MS, pool.map(stopped, AFTER_HUP_MS), strict=True))
    assert {moment: code for moment, (code, _) in codes.items() if code != 0} == {}
    assert not [moment for moment, (_, log) in codes.items() if "BootstrapFailed" in log]
