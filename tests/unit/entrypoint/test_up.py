"""When `bootseal up` stops its boot: the loop alone, with a boot that is told what happens."""

import types

import pytest

from contract import clock
from entrypoint import up


class Boot:
    """A boot that ends when it was asked to stop, ``polls`` looks later."""

    def __init__(self, polls=0):
        self.stops = 0
        self._polls = polls

    def exit_code(self):
        if self.stops == 0:
            return None
        self._polls -= 1
        return 0 if self._polls < 0 else None

    def stop(self):
        self.stops += 1


class Nothing:
    """A screen that shows nothing."""

    def __getattr__(self, name):
        return lambda *_: None


def watch(boot, events=(), **wishes):
    asked = {"until_ready": False, "timeout_seconds": None, **wishes}
    rest = [list(events)]
    tail = types.SimpleNamespace(read=lambda: rest.pop() if rest else [])
    wanted = up.Wishes("f", strict=False, listen=None, state=None, output="text", **asked)
    return up._Watch(wanted, boot, Nothing(), tail, types.SimpleNamespace(programs=()))


def test_a_seal_alone_does_not_end_the_timeout():
    sealed = [{"event": "BootstrapCompleted"}]
    assert watch(Boot(), sealed, until_ready=True, timeout_seconds=0.05).to_the_end([]) == 6


def test_a_timeout_is_over_once_it_was_ready():
    seen = [{"event": "ReadinessChanged", "ready": True}]
    assert watch(Boot(10), seen, until_ready=True, timeout_seconds=0.05).to_the_end([]) == 0


@pytest.mark.parametrize(("later_seconds", "stops"), [(0.0, 1), (0.01, 1), (5.0, 2)])
def test_two_signals_of_one_request_are_one(later_seconds, stops):
    """timeout(1) signals its child and then its whole group; a shell passes on the SIGHUP that its job got too."""
    boot = Boot(3)
    now = clock.monotonic()
    watch(boot).to_the_end([now, now + later_seconds])
    assert boot.stops == stops
