import os
import signal
import time
import types

import pytest

from contract import snapshot
from supervisord import reaping


class Options:
    def waitpid(self):
        try:
            return os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None, None


def reap_one(options):
    while True:
        pid, status = options.waitpid()
        if pid:
            return pid, status
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (lambda: os._exit(3), snapshot.Exit(3, None)),
        (lambda: os._exit(0), snapshot.Exit(0, None)),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), snapshot.Exit(None, signal.SIGKILL)),
    ],
)
def test_how_a_process_ended_is_remembered_until_the_next_is_reaped(ending, told):
    told_pids: list[int] = []
    options, reaper = Options(), reaping.Reaper(told_pids.append)
    reaper.install(options)
    first = os.fork()
    if first == 0:
        ending()
    assert reap_one(options)[0] == first
    assert reaper.end_of(first) == told
    second = os.fork()
    if second == 0:
        os._exit(9)
    reap_one(options)
    assert reaper.end_of(first) is None
    assert reaper.end_of(second) == snapshot.Exit(9, None)
    assert told_pids == [first, second]


def test_nothing_is_known_of_a_process_that_was_never_made():
    told: list[int] = []
    reaper = reaping.Reaper(told.append)
    assert reaper.end_of(0) is None
    options = types.SimpleNamespace(waitpid=lambda: (None, None))
    reaper.install(options)
    assert options.waitpid() == (None, None)
    assert told == []
