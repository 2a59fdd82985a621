import ctypes
import errno
import os
import resource
import select
import signal
import threading

import pytest

from artifacts import closure, examination, workers
from tests.unit import children
from tests.unit.artifacts import test_verification as trees

root = trees.root


def answers(processes: int, units: int, work) -> tuple[dict[int, object], list[str]]:
    with workers.Workers(processes, units, work) as crew:
        found = crew.answers()
    return found, crew.losses


def rest() -> None:
    """Do nothing for longer than any test takes, and not for ever."""
    select.select([], [], [], 60)


def has_no_child() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def test_every_unit_is_done_once_and_the_first_first(tmp_path):
    def work(unit: int) -> list[object]:
        with open(tmp_path / "order", "ab") as file:
            file.write(bytes([unit]))
        return [unit, "x" * 100_000]

    assert answers(4, 200, work) == ({unit: [unit, "x" * 100_000] for unit in range(200)}, [])
    assert sorted((tmp_path / "order").read_bytes()) == list(range(200))
    assert answers(1, 200, work)[0].keys() == set(range(200))
    assert (tmp_path / "order").read_bytes()[200:] == bytes(range(200))
    assert has_no_child()


def test_as_many_units_as_there_may_be_do_not_block_and_more_are_refused():
    assert len(answers(2, workers.MOST_UNITS, lambda unit: None)[0]) == workers.MOST_UNITS
    with pytest.raises(ValueError, match="1001 units"):
        workers.Workers(2, workers.MOST_UNITS + 1, lambda unit: None)


def test_a_worker_that_is_killed_leaves_its_unit_unanswered_and_the_others_go_on():
    def work(unit: int) -> int:
        if unit == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return unit

    found, losses = answers(2, 50, work)
    assert found == {unit: unit for unit in range(50) if unit != 3}
    assert losses == ["was killed by signal 9"]
    assert has_no_child()


def test_half_an_answer_is_none(monkeypatch):
    write = os.write

    def die(fd: int, line: bytes) -> int:
        if line.startswith(b"[1,"):
            write(fd, line[:5])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(fd, line)

    monkeypatch.setattr(os, "write", die)
    assert answers(1, 3, lambda unit: "answer") == ({0: "answer"}, ["was killed by signal 9"])


def test_a_worker_that_raises_leaves_its_unit_unanswered():
    assert answers(1, 3, lambda unit: 1 // (1 - unit)) == ({0: 1}, ["ended with exit code 1"])


def test_an_exception_in_the_block_kills_and_reaps_every_worker():
    with pytest.raises(Stopped), workers.Workers(3, 3, lambda unit: rest()):
        raise Stopped
    assert has_no_child()


class Stopped(BaseException):
    pass


def stopped_and_childless(crew_ends) -> bool:
    """Return whether a stop signal, of which the first counts as in Stage A, ends ``crew_ends`` and every worker."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Stopped

    signal.signal(signal.SIGTERM, stop)
    try:
        crew_ends(os.getpid())
    except Stopped:
        return has_no_child()
    return False


def test_stop_signals_while_answers_are_awaited_kill_and_reap_every_worker():
    def work(parent: int) -> None:
        def wait(unit: int) -> None:
            os.kill(parent, signal.SIGTERM)
            rest()

        with workers.Workers(3, 3, wait) as crew:
            crew.answers()

    for _ in range(10):
        assert children.run(lambda: stopped_and_childless(work)) == 0


def test_a_stop_signal_while_workers_are_started_kills_and_reaps_those_that_were():
    fork = os.fork

    def work(parent: int) -> None:
        def signalled() -> int:
            os.kill(parent, signal.SIGTERM)
            return fork()

        os.fork = signalled
        with workers.Workers(3, 3, lambda unit: rest()):
            rest()

    assert children.run(lambda: stopped_and_childless(work)) == 0


def test_an_exception_while_workers_are_reaped_leaves_none(monkeypatch):
    waitpid, calls = os.waitpid, []

    def interrupted(pid: int, options: int) -> tuple[int, int]:
        calls.append(pid)
        if len(calls) == 2:
            raise Stopped
        return waitpid(pid, options)

    with monkeypatch.context() as broken:
        broken.setattr(os, "waitpid", interrupted)
        with pytest.raises(Stopped), workers.Workers(3, 3, lambda unit: rest()):
            raise KeyboardInterrupt
    assert has_no_child()


def test_what_another_thread_raises_while_answers_are_awaited_kills_and_reaps_every_worker():
    """So does Stage A stop what it runs confined, in a thread."""
    begun, mouth = os.pipe()
    ended: list[BaseException] = []

    def wait(unit: int) -> None:
        os.write(mouth, b"x")
        select.select([], [], [], 20)

    def work() -> None:
        try:
            answers(1, 1, wait)
        except Stopped as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    os.read(begun, 1)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Stopped))
    thread.join(10)
    assert [type(one) for one in ended] == [Stopped]
    assert has_no_child()
    os.close(begun)
    os.close(mouth)


def test_a_worker_has_no_handler_and_no_blocked_signal_of_its_parent():
    def work() -> bool:
        for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGINT):
            signal.signal(number, lambda *_: print("the parent's handler ran"))
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

        def look(unit: int) -> list[bool]:
            return [
                *(signal.getsignal(number) == signal.SIG_DFL for number in (15, 14, 2, signal.SIGPIPE, signal.SIGUSR1)),
                not signal.pthread_sigmask(signal.SIG_BLOCK, ()),
            ]

        return answers(1, 1, look)[0] == {0: [True] * 6} and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL

    assert children.run(work) == 0


def test_workers_end_when_their_parent_is_killed():
    read, write = os.pipe()

    def parent() -> None:
        def work(unit: int) -> None:
            os.write(write, b"x")
            while True:
                workers.still_wanted()

        os.close(read)
        with workers.Workers(2, 2, work) as crew:
            crew.answers()

    pid = children.start(parent)
    os.close(write)
    assert os.read(read, 1) == b"x"
    os.kill(pid, signal.SIGKILL)
    assert children.ended(pid) == -signal.SIGKILL
    # The workers hold the pipe's last ends: it closes when both have ended.
    while select.select([read], [], [], 30)[0]:
        if not os.read(read, 100):
            break
    else:
        pytest.fail("a worker outlived its parent")
    os.close(read)


def test_a_worker_whose_parent_is_killed_ends_at_its_next_answer():
    read, write = os.pipe()

    def parent() -> None:
        os.close(read)

        def work(unit: int) -> str:
            os.write(write, b"x")
            signal.sigtimedwait([], 0.01)
            return "x" * 1_000_000

        with workers.Workers(3, 1000, work) as crew:
            os.read(os.pipe()[0], 1)  # answers are never taken, so that the workers wait in write(2)
            crew.answers()

    pid = children.start(parent)
    os.close(write)
    assert os.read(read, 1) == b"x"
    os.kill(pid, signal.SIGKILL)
    assert children.ended(pid) == -signal.SIGKILL
    while select.select([read], [], [], 30)[0]:
        if not os.read(read, 100):
            break
    else:
        pytest.fail("a worker outlived its parent")
    os.close(read)


def test_a_worker_that_reads_a_large_file_ends_when_its_parent_is_killed(root):
    os.truncate(root / "app/main", 2**40)  # a hole, which takes hours to read
    locked = closure.make("api", "tree", "./app", [closure.file("./app/main", 0o644, 2**40, "ab" * 32)])
    read, write = os.pipe()

    def parent() -> None:
        os.close(read)
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))  # of each process: what is left running ends
        between = workers.still_wanted
        told = []

        def tell() -> None:
            if not told:
                told.append(os.write(write, b"x"))
            between()

        workers.still_wanted = tell
        trees.verify(root, locked, processes=1)

    pid = children.start(parent)
    os.close(write)
    assert os.read(read, 1) == b"x"
    os.kill(pid, signal.SIGKILL)
    assert children.ended(pid) == -signal.SIGKILL
    assert select.select([read], [], [], 30)[0], "a worker outlived its parent"
    assert os.read(read, 1) == b""
    os.close(read)


def test_an_ignored_sigchld_changes_nothing():
    def work() -> bool:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        return answers(3, 20, lambda unit: unit) == ({unit: unit for unit in range(20)}, [])

    assert children.run(work) == 0


def test_where_nothing_can_be_forked_this_process_does_the_work(root, monkeypatch):
    closed = trees.locked(root)
    (root / "app/main").write_bytes(b"niam")

    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(workers.NoWorker):
        answers(2, 2, lambda unit: unit)
    before = os.listdir("/proc/self/fd")
    assert [fault.kind for fault in trees.verify(root, closed, processes=2).faults] == ["changed"]
    assert os.listdir("/proc/self/fd") == before


def test_where_only_one_can_be_forked_it_does_all(monkeypatch):
    fork, forked = os.fork, []

    def once() -> int:
        if forked:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        forked.append(1)
        return fork()

    monkeypatch.setattr(os, "fork", once)
    assert answers(4, 9, lambda unit: unit) == ({unit: unit for unit in range(9)}, [])


def test_what_a_killed_worker_had_not_answered_for_is_a_fault_and_never_a_pass(root, monkeypatch):
    closed = trees.locked(root)
    monkeypatch.setattr(examination, "units", lambda files: [[entry] for entry in files])
    read = examination.inspection.Inspector.read

    def die(self, entry):
        if entry.path == "./app/main":
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, entry)

    monkeypatch.setattr(examination.inspection.Inspector, "read", die)
    [fault] = trees.verify(root, closed, processes=2).faults
    assert (fault.kind, fault.path) == ("unreadable", "./app/main")
    assert fault.detail == "it was not verified: a process that verifies was killed by signal 9"


def test_when_every_worker_is_killed_every_file_is_a_fault(root, monkeypatch):
    closed = trees.locked(root)
    monkeypatch.setattr(
        examination.inspection.Inspector, "read", lambda self, entry: os.kill(os.getpid(), signal.SIGKILL)
    )
    faults = trees.verify(root, closed, processes=2).faults
    assert {fault.kind for fault in faults} == {"unreadable"}
    assert [fault.path for fault in faults] == ["./app/empty", "./app/lib/a", "./app/lib/deep/b", "./app/main"]


def test_little_is_read_in_this_process_and_much_by_workers(root, monkeypatch):
    closed = trees.locked(root)
    used = []

    def read(inspector, units, found, meanwhile, processes) -> None:
        used.append(processes)
        meanwhile()

    monkeypatch.setattr(examination, "_read_by_workers", read)
    trees.verify(root, closed, processes=None)
    assert used == []
    monkeypatch.setattr(examination, "_FORK_WEIGHT", 1)
    trees.verify(root, closed, processes=None)
    assert used == [workers.count()]
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(100)))
    assert workers.count() == 8
