import os
import signal
import subprocess
import sys

import pytest

from supervisord import attribution


class Processes:
    """A /proc of the test's own: pid → (parent, start)."""

    def __init__(self, **known: tuple[int, int]) -> None:
        self.stats = {int(pid[1:]): attribution.Stat(*stat, has_ended=False) for pid, stat in known.items()}
        self.reads = 0

    def __call__(self, pid):
        self.reads += 1
        return self.stats.get(pid)

    def set(self, pid, parent, start, *, has_ended=False):
        self.stats[pid] = attribution.Stat(parent, start, has_ended)


@pytest.fixture
def processes():
    """Api (100) with a child and a grandchild; web (200) with a child; something else (300)."""
    return Processes(p100=(1, 10), p110=(100, 11), p111=(110, 12), p200=(1, 10), p210=(200, 20), p300=(1, 5))


@pytest.fixture
def made(processes):
    known = attribution.Attribution(processes)
    assert known.begin("api", 100)
    assert known.begin("web", 200)
    return known


def test_a_process_belongs_to_the_program_that_it_descends_from(made):
    owners = {pid: made.owner(pid).name for pid in (100, 110, 111, 200, 210, 300)}
    assert owners == {100: "api", 110: "api", 111: "api", 200: "web", 210: "web", 300: None}


@pytest.mark.parametrize(
    ("pid", "why_not"),
    [
        (0, "its sender is outside of this PID namespace"),
        (-7, "its sender is outside of this PID namespace"),
        (999, "its sender is gone"),
        (300, "its sender belongs to no program that is ready by notify"),
    ],
)
def test_who_belongs_to_none_is_told_why(made, pid, why_not):
    assert made.owner(pid) == attribution.Owner(None, why_not)


def test_a_recycled_pid_of_a_program_is_somebody_else(made, processes):
    processes.set(100, 1, 50)
    assert made.owner(100).name is None
    assert made.owner(110).name is None


def test_a_parent_that_started_after_its_child_is_a_recycled_pid(made, processes):
    processes.set(110, 100, 13)
    assert made.owner(111) == attribution.Owner(None, "its sender's parent is gone")
    processes.set(110, 100, 12)
    assert made.owner(111).name == "api"


def test_a_chain_that_is_broken_ends_in_nobody(made, processes):
    del processes.stats[110]
    assert made.owner(111) == attribution.Owner(None, "its sender's parent is gone")


@pytest.mark.parametrize("length", [62, 63, 64, 1000])
def test_the_walk_is_bounded(made, processes, length):
    for pid in range(1000, 1000 + length):
        processes.set(pid, pid + 1 if pid + 1 < 1000 + length else 100, 10)
    processes.reads = 0
    assert made.owner(1000).name == ("api" if length <= 63 else None)
    assert processes.reads <= 64


def test_a_circle_of_parents_ends(made, processes):
    processes.set(400, 401, 10)
    processes.set(401, 400, 10)
    assert made.owner(400).name is None


def test_the_walk_stops_at_this_process(made, processes):
    processes.set(400, os.getpid(), 10)
    processes.reads = 0
    assert made.owner(400).name is None
    assert processes.reads == 1


def test_who_has_ended_is_forgotten(made):
    made.end("api")
    assert made.owner(110).name is None
    assert made.owner(210).name == "web"
    made.end("api")
    made.end("never")


def test_a_new_process_replaces_the_old(made, processes):
    processes.set(101, 1, 30)
    assert made.begin("api", 101)
    assert made.owner(101).name == "api"
    assert made.owner(110).name is None


def test_a_process_that_cannot_be_found_begins_nothing(made):
    assert not made.begin("api", 999)
    assert made.owner(100).name is None


def test_a_main_process_counts_when_its_parent_is_gone_and_so_do_its_children(made, processes):
    assert made.accept_main("api", 111) == ""
    processes.set(111, 1, 12)
    processes.set(112, 111, 13)
    assert made.owner(111).name == "api"
    assert made.owner(112).name == "api"
    assert made.owner(100).name == "api"
    processes.set(111, 1, 99)
    assert made.owner(112).name is None
    assert made.owner(111).name is None


@pytest.mark.parametrize("pid", [200, 210, 300, 999, 1, 0, -1])
def test_a_main_process_of_somebody_else_is_not_accepted(made, pid):
    assert str(pid) in made.accept_main("api", pid)
    assert made.owner(210).name == "web"
    assert made.owner(300).name is None


def test_a_main_process_that_has_ended_is_not_accepted(made, processes):
    processes.set(111, 110, 12, has_ended=True)
    assert made.accept_main("api", 111) == "MAINPID 111 does not run"


def test_a_program_that_does_not_run_has_no_main_process(made):
    made.end("api")
    assert made.accept_main("api", 110)
    assert made.owner(110).name is None


def test_the_last_main_process_counts_and_the_first_process_always(made, processes):
    assert made.accept_main("api", 110) == ""
    assert made.accept_main("api", 111) == ""
    processes.set(110, 1, 11)
    assert made.owner(110).name is None
    assert made.accept_main("api", 100) == ""
    assert made.accept_main("api", 100) == ""
    assert made.owner(100).name == "api"
    made.end("api")
    assert {made.owner(pid).name for pid in (100, 110, 111)} == {None}


def test_who_has_ended_is_forgotten_with_its_main_process(made, processes):
    assert made.accept_main("api", 111) == ""
    processes.set(111, 1, 12)
    made.end("api")
    assert {made.owner(pid).name for pid in (100, 110, 111)} == {None}


def test_a_first_process_that_was_its_own_main_process_still_counts_after_another_is(made, processes):
    assert made.accept_main("api", 100) == ""
    assert made.accept_main("api", 111) == ""
    processes.set(111, 1, 12)
    assert {made.owner(pid).name for pid in (100, 110, 111)} == {"api"}


def test_a_uid_confines_a_program_to_its_own_senders(processes):
    made = attribution.Attribution(processes)
    made.begin("api", 100, uid=1000)
    made.begin("web", 200)
    assert made.owner(110, 1000).name == "api"
    assert made.owner(110, 1001).why_not == "its sender has uid 1001, api has 1000"
    assert made.owner(210, 1001).name == "web"


def test_real_processes_are_read_with_names_that_try_to_mislead(tmp_path):
    trap = tmp_path / "x) Z 1 (y"
    os.symlink(sys.executable, trap)
    child = subprocess.Popen([str(trap), "-c", "input()"], stdin=subprocess.PIPE)
    try:
        stat = attribution.read_stat(child.pid)
        assert stat is not None
        assert (stat.parent, stat.has_ended) == (os.getpid(), False)
        known = attribution.Attribution()
        assert known.begin("api", child.pid)
        assert known.owner(child.pid, os.getuid()).name == "api"
        assert known.owner(os.getpid()).name is None
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert known.owner(child.pid).name == "api", "a zombie still has its pid"
        assert known.accept_main("api", child.pid), "a zombie is nobody's main process"
    finally:
        child.kill()
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert attribution.read_stat(child.pid) is None
    assert known.owner(child.pid).why_not == "its sender is gone"


def test_a_program_with_a_uid_is_not_spoken_for_without_one(processes):
    made = attribution.Attribution(processes)
    made.begin("api", 100, uid=1000)
    assert made.owner(110).why_not == "its sender has uid None, api has 1000"


@pytest.mark.parametrize("uids", [{1001}, {0}, {1000, 0}, {1000, 1001}, set()])
def test_a_main_process_has_the_uid_of_its_program_and_no_other(processes, uids):
    made = attribution.Attribution(processes, lambda pid: frozenset(uids) if pid == 110 else frozenset({1000}))
    made.begin("api", 100, uid=1000)
    assert made.accept_main("api", 110) == "MAINPID 110 is not of uid 1000 as api is"
    assert made.accept_main("api", 111) == ""


def test_a_main_process_of_its_uid_that_is_no_descendant_is_not_accepted(processes):
    made = attribution.Attribution(processes, lambda _pid: frozenset({1000}))
    made.begin("api", 100, uid=1000)
    made.begin("web", 200, uid=1000)
    assert made.accept_main("api", 210) == "MAINPID 210 is no process of api"


def test_a_main_process_that_is_another_one_after_the_look_is_not_accepted(processes):
    def uids(pid):
        processes.set(pid, 100, 99)  # it ended, and its pid was given away
        return frozenset({1000})

    made = attribution.Attribution(processes, uids)
    made.begin("api", 100, uid=1000)
    assert made.accept_main("api", 110) == "MAINPID 110 is not of uid 1000 as api is"


def test_without_a_uid_nobodys_is_asked_for(processes):
    made = attribution.Attribution(processes, lambda _pid: pytest.fail("it costs a look at /proc"))
    made.begin("api", 100)
    assert made.accept_main("api", 110) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has several uids to give")
def test_the_uids_of_a_process_are_all_four_whatever_its_name_says(tmp_path):
    trap = tmp_path / "x\nUid:\t5\t5"
    os.symlink(sys.executable, trap)
    tmp_path.chmod(0o755)
    code = "import os; os.setresuid(2001, 2002, 2003); print(flush=True); input()"
    child = subprocess.Popen([str(trap), "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert attribution.read_uids(child.pid) == {2001, 2002, 2003}
    finally:
        child.kill()
        child.communicate()
    assert attribution.read_uids(child.pid) == frozenset()
