"""What programs use: their own processes and no other's, and a counter that never goes down."""

import os
import signal
import subprocess
import sys

import hypothesis
import pytest
from hypothesis import strategies as st

from contract import process
from probes.metrics import usage
from tests.unit import boots

TREE = r"""
import os, sys, time
child = os.fork()
if not child:
    os.write(1, b"child\n")
    time.sleep(1000)
x = bytearray(50_000_000)
os.write(1, b"parent\n")
time.sleep(1000)
"""


@pytest.fixture
def running():
    """A process with a child, both alive."""
    child = subprocess.Popen([sys.executable, "-c", TREE], stdout=subprocess.PIPE, process_group=0)
    try:
        assert {child.stdout.readline(), child.stdout.readline()} == {b"child\n", b"parent\n"}
        yield child
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.stdout.close()
        child.wait()


def view(pid, name="api", pid_start=None):
    return boots.view(name, pid=pid, pid_start=process.start_time(pid) if pid_start is None else pid_start)


def test_a_program_is_its_process_and_all_below_it(running):
    used = usage.Meter().measure([view(running.pid)])["api"]

    assert used.processes == 2
    assert used.resident_bytes > 50_000_000
    assert used.cpu_seconds > 0


def test_a_recycled_pid_is_not_counted(running):
    right = process.start_time(running.pid)

    assert usage.Meter().measure([view(running.pid, pid_start=right + 1)]) == {}


def test_a_pid_that_was_recycled_while_we_looked_is_not_counted():
    starts = iter([8])  # looked at after the values were read
    meter = usage.Meter(lambda: [usage.Row(100, 1, 5.0, 5)], lambda _: next(starts))

    assert meter.measure([boots.view("api", pid=100, pid_start=7)]) == {}


def test_a_program_without_a_process_tells_nothing_and_costs_no_pass():
    def look():
        raise AssertionError("nobody has to be looked for")

    assert usage.Meter(look).measure([boots.view("api", pid=None, pid_start=None)]) == {}


def test_too_many_processes_and_nothing_is_told(running, monkeypatch):
    monkeypatch.setattr(usage, "PROCESSES_LIMIT", 1)

    assert usage.Meter().measure([view(running.pid)]) == {}


def test_programs_do_not_count_each_others_processes():
    rows = [usage.Row(1, 0, 9.0, 9), usage.Row(2, 1, 1.0, 10), usage.Row(3, 1, 2.0, 20), usage.Row(4, 3, 4.0, 40)]
    meter = usage.Meter(lambda: rows, lambda pid: pid * 10)
    views = [boots.view("a", pid=2, pid_start=20), boots.view("b", pid=3, pid_start=30)]

    assert meter.measure(views) == {"a": usage.Usage(1, 1.0, 10), "b": usage.Usage(2, 6.0, 60)}


def test_processor_time_begins_anew_with_the_process():
    rows = [usage.Row(2, 1, 100.0, 1)]
    meter = usage.Meter(lambda: rows, lambda _: start)
    start = 7
    assert meter.measure([boots.view("a", pid=2, pid_start=7)])["a"].cpu_seconds == 100.0
    start, rows = 8, [usage.Row(2, 1, 0.5, 1)]

    assert meter.measure([boots.view("a", pid=2, pid_start=8)])["a"].cpu_seconds == 0.5


def test_parents_in_a_circle_are_counted_once():
    rows = [usage.Row(2, 3, 1.0, 1), usage.Row(3, 2, 1.0, 1)]

    assert usage.Meter(lambda: rows, lambda _: 7).measure([boots.view("a", pid=2, pid_start=7)])["a"].processes == 2


@hypothesis.given(st.lists(st.lists(st.integers(0, 1000), max_size=4), max_size=8))
def test_processor_time_never_goes_down_while_the_process_lives(looks):
    """Children come and go, waited for or not."""
    rows = []
    meter = usage.Meter(lambda: rows, lambda _: 7)
    seen = []
    for children in looks:
        rows = [usage.Row(2, 1, 1.0, 1), *(usage.Row(10 + n, 2, cpu, 1) for n, cpu in enumerate(children))]
        used = meter.measure([boots.view("a", pid=2, pid_start=7)])["a"]
        assert used.cpu_seconds >= 1.0 + sum(children)
        seen.append(used.cpu_seconds)

    assert seen == sorted(seen)
