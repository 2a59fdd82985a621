import contextlib
import os
import signal
import subprocess
import threading

import pytest

from entrypoint import confinement, landlock, stop
from tests.unit import children
from tests.unit.entrypoint.test_landlock import denied, needs_landlock, touch

pytestmark = needs_landlock


@pytest.fixture
def roots(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.fixture
def confined(roots):
    fd = os.open(roots / "in", os.O_RDONLY | os.O_DIRECTORY)
    made = confinement.Confined([fd])
    os.close(fd)
    with made:
        yield made


def no_new_privs() -> str:
    """Return the flag of this thread; a thread that ended may still stand in /proc."""
    with open(f"/proc/self/task/{threading.get_native_id()}/status") as file:
        return next(line.split()[1] for line in file if line.startswith("NoNewPrivs"))


def test_what_runs_in_it_writes_in_the_list_and_nowhere_else_and_the_caller_everywhere(confined, roots):
    assert confined.run(lambda: denied(lambda: touch(roots / "out" / "a")))
    confined.run(lambda: touch(roots / "in" / "a"))
    touch(roots / "out" / "b")
    assert (os.listdir(roots / "in"), os.listdir(roots / "out")) == (["a"], ["b"])


def test_its_children_are_confined_and_the_callers_are_not(confined, roots):
    def shell(name: str) -> str:
        command = ["/bin/sh", "-c", f"echo > {roots}/in/{name}; echo > {roots}/out/{name}"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr

    assert "Permission denied" in confined.run(lambda: shell("inner"))
    assert shell("outer") == ""
    assert (sorted(os.listdir(roots / "in")), os.listdir(roots / "out")) == (["inner", "outer"], ["outer"])


def test_it_leaves_no_trace_in_the_caller(confined):
    before = len(os.listdir("/proc/self/fd"))
    assert confined.run(no_new_privs) == "1"
    assert no_new_privs() == "0"
    assert len(os.listdir("/proc/self/fd")) == before
    assert confined.run(lambda: threading.current_thread() is not threading.main_thread())
    assert threading.main_thread() is threading.current_thread()


def test_results_and_exceptions_come_through_as_they_are(confined):
    class Odd(BaseException):
        pass

    thing = object()
    assert confined.run(lambda: thing) is thing
    for error in (ValueError("x"), Odd("y"), SystemExit(3)):

        def fail(error=error) -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            confined.run(fail)
        assert caught.value is error


def test_it_can_be_used_more_often_than_landlock_nests(confined):
    assert [confined.run(lambda number=number: number) for number in range(40)] == list(range(40))


def test_a_descriptor_that_is_of_no_directory_is_an_error_and_leaves_nothing_open():
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        confinement.Confined([9999])
    assert len(os.listdir("/proc/self/fd")) == before


def test_where_a_thread_cannot_be_confined_it_is_known_before_anything_runs(monkeypatch):
    def refuse(self) -> None:
        raise landlock.Unavailable("no")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(landlock.Ruleset, "restrict_this_thread", refuse)
    with pytest.raises(landlock.Unavailable):
        confinement.Confined([])
    assert len(os.listdir("/proc/self/fd")) == before


def test_unconfined_runs_as_ever(roots):
    plain = confinement.Unconfined()
    assert plain.run(lambda: touch(roots / "out" / "a")) is None
    plain.close()
    assert os.listdir(roots / "out") == ["a"]


def until_interrupted(started: threading.Event) -> None:
    started.set()
    while True:
        started.wait(0)


@pytest.mark.parametrize("kind", ["a stop signal", "a deadline"])
def test_an_interruption_of_the_caller_ends_the_work_after_it_cleaned_up(roots, kind):
    """In a child, with the handlers of Stage A."""

    def work() -> bool:
        fd = os.open(roots / "in", os.O_RDONLY | os.O_DIRECTORY)
        confined = confinement.Confined([fd])
        started = threading.Event()

        def copy() -> None:
            touch(roots / "in" / "half")
            try:
                if kind == "a stop signal":
                    os.kill(os.getpid(), signal.SIGTERM)
                until_interrupted(started)
            except confinement.Interrupted:
                os.unlink(roots / "in" / "half")
                touch(roots / "in" / "cleaned")
                raise

        if kind == "a stop signal":
            stop.arm()
            with pytest.raises(stop.Stopped) as caught:
                confined.run(copy)
            return caught.value.number == signal.SIGTERM
        with pytest.raises(stop.DeadlineExceeded), stop.deadline(0.05):
            confined.run(copy)
        return True

    assert children.run(work) == 0
    assert os.listdir(roots / "in") == ["cleaned"]


def test_work_that_does_not_end_is_left_behind(confined, monkeypatch):
    monkeypatch.setattr(confinement, "_CLEANING_SECONDS", 0.01)
    release = threading.Event()

    class Asked(BaseException):
        pass

    def interrupt(number, frame) -> None:
        raise Asked

    def stubborn() -> None:
        signal.raise_signal(signal.SIGUSR1)
        while not release.is_set():
            with contextlib.suppress(confinement.Interrupted):
                release.wait()

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(Asked):
            confined.run(stubborn)
        left = [thread for thread in threading.enumerate() if thread.name == "confined"]
        assert [thread.daemon for thread in left] == [True]
    finally:
        signal.signal(signal.SIGUSR1, before)
        release.set()
    left[0].join()
