import os
import signal
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import process


def stat_line(name: str, start: int) -> str:
    return f"12 ({name}) S " + " ".join(["0"] * 18) + f" {start} 0 0"


@given(st.text(alphabet=st.characters(exclude_characters="\n"), max_size=15), st.integers(0, 2**63))
def test_the_start_time_is_found_whatever_the_process_is_called(name, start):
    assert process.parse_start_time(stat_line(name, start)) == start


@given(st.text())
def test_any_other_text_is_a_value_error_and_nothing_else(text):
    try:
        assert isinstance(process.parse_start_time(text), int)
    except ValueError as error:
        assert error.args


@pytest.mark.parametrize("text", ["", "1 (x", "1 (x) S 0 0", ") " + "a " * 25])
def test_a_line_that_is_cut_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        process.parse_start_time(text)


def test_our_own_start_time_is_field_22_of_our_own_line():
    with open("/proc/self/stat", encoding="utf-8") as file:
        expected = int(file.read().rpartition(")")[2].split()[19])
    assert process.start_time() == process.start_time(os.getpid()) == expected


def test_a_process_is_alive_only_under_its_own_start_time():
    mine = process.start_time()
    assert mine is not None
    assert process.is_alive(os.getpid(), mine)
    assert not process.is_alive(os.getpid(), mine + 1)


def test_a_process_that_is_gone_has_no_start_time():
    child = subprocess.Popen(["/bin/sleep", "60"])
    start = process.start_time(child.pid)
    assert start is not None
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.start_time(child.pid) == start, "a zombie still has its line"
    assert not process.is_alive(child.pid, start)
    child.wait()
    assert process.start_time(child.pid) is None
    assert not process.is_alive(child.pid, start)
    assert process.start_time("not-a-pid") is None


def test_a_process_that_is_stopped_is_told_from_one_that_runs():
    with subprocess.Popen(["sleep", "100"]) as child:
        try:
            start = process.start_time(child.pid)
            assert not process.is_stopped(child.pid, start)
            os.kill(child.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, child.pid, os.WSTOPPED)
            assert process.is_stopped(child.pid, start)
            assert process.is_alive(child.pid, start)
            assert not process.is_stopped(child.pid, start + 1), "another process of that pid"
        finally:
            child.kill()
    assert not process.is_stopped(child.pid, start)
