"""Acting on programs: what PID 1 goes on trying is not over, and nobody waits longer than was asked."""

import pytest

from contract import errors, reasons, rundir, snapshot
from entrypoint import asking, operating, unknown
from supervisord import client
from tests.unit import boots

READY = boots.view("api", ready_by="running for 1s")
AGAIN = boots.view("api", state=snapshot.PENDING, reason="exited with code 1; tries again", supervisor_state="BACKOFF")
OVER = boots.view("api", state=snapshot.FAILED, reason="is FATAL after 4 tries", supervisor_state="FATAL", final=True)
STOPPED = boots.view("api", state=snapshot.PENDING, reason=reasons.STOPPED, supervisor_state="STOPPED")
HELD = boots.view("api", state=snapshot.PENDING, reason=reasons.waits_for(["redis"]), supervisor_state="STOPPED")


class FakePid1:
    """Answers calls with ``answers`` in turn, then with True, and tells ``views`` in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[object] = []
        self.views: list[snapshot.ProgramView] = [READY]
        self.calls: list[tuple[object, ...]] = []
        self.allowed: list[float] = []

    def call(self, *words: object, timeout_seconds: float) -> object:
        self.calls.append(words)
        self.allowed.append(timeout_seconds)
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer

    def snapshot(self, *, timeout_seconds: float) -> snapshot.Snapshot:
        self.allowed.append(timeout_seconds)
        view = self.views.pop(0) if len(self.views) > 1 else self.views[0]
        own = boots.view("probes", role="probes")
        return boots.ledger(view, own, phase=snapshot.SEALED)


@pytest.fixture
def pid1(monkeypatch: pytest.MonkeyPatch) -> FakePid1:
    made = FakePid1()
    monkeypatch.setattr(client, "Client", lambda _path: made)
    return made


def controls() -> operating.Controls:
    return operating.Controls(rundir.RunDirectory("/nonexistent"), sleep=lambda _: None)


def timed_out() -> client.Unreachable:
    error = client.Unreachable("supervisord", "no answer")
    error.__cause__ = TimeoutError()
    return error


def test_a_first_try_that_fails_is_not_the_end_while_pid_1_tries_again(pid1: FakePid1) -> None:
    pid1.views = [AGAIN, AGAIN, READY]
    assert controls().start("api", 60.0, wait=True) == operating.Outcome("api", True, "is ready by running for 1s")
    assert pid1.calls == [("supervisor.startProcess", "api", False)], "to wait there would end with the first try"


@pytest.mark.parametrize("view", [OVER, STOPPED])
def test_what_waiting_does_not_mend_is_the_end(pid1: FakePid1, view: snapshot.ProgramView) -> None:
    pid1.views = [AGAIN, view]
    assert controls().start("api", 60.0, wait=True) == operating.Outcome("api", False, view.reason)


def test_what_waits_for_another_has_not_been_stopped(pid1: FakePid1) -> None:
    pid1.views = [HELD, READY]
    assert controls().start("api", 60.0, wait=True).done


def test_a_start_waits_for_the_stop_that_is_under_way(pid1: FakePid1) -> None:
    pid1.answers = [client.Refused("s", "is being stopped", 40), client.Refused("s", "is being stopped", 40)]
    assert controls().start("api", 60.0, wait=True).done
    pid1.answers = [client.Refused("s", "is being stopped", 40)]
    assert controls().start("api", 60.0, wait=False) == operating.Outcome("api", False, "is being stopped")


def test_the_time_that_is_told_is_the_one_that_was_asked_for(pid1: FakePid1) -> None:
    pid1.views = [AGAIN]
    assert "is not ready within 0.01 s" in controls().restart("api", 0.01, wait=True).what
    pid1.answers = [timed_out()]
    assert "is not done within 0.01 s" in controls().stop("api", 0.01, wait=True).what


def test_no_question_takes_longer_than_the_time_that_is_left(pid1: FakePid1) -> None:
    pid1.answers, pid1.views = [timed_out()], [AGAIN]
    controls().check(("api",), 1.5)
    controls().stop("api", 1.5, wait=True)
    assert len(pid1.allowed) == 3 and max(pid1.allowed) <= 1.5
    pid1.allowed.clear()
    controls().check(("api",), 0.0)
    assert pid1.allowed == [asking.LEAST_SECONDS], "and one has time to be answered"


def test_bootseals_own_programs_are_stopped_by_insisting_only(pid1: FakePid1) -> None:
    with pytest.raises(errors.BootsealError, match=r"nobody answers whether the container is ready .*--force"):
        controls().check(("api", "probes"), 5.0, spare_own=True)
    controls().check(("api", "probes"), 5.0)
    controls().check(("api",), 5.0, spare_own=True)
    with pytest.raises(unknown.Unknown, match="did you mean probes"):
        controls().check(("probe",), 5.0, spare_own=True)


@pytest.mark.parametrize("trouble", [client.Unreachable("s", "no", "why"), client.Refused("s", "SHUTDOWN_STATE", 6)])
def test_nobody_who_answers_is_6_whatever_was_asked(
    pid1: FakePid1, monkeypatch: pytest.MonkeyPatch, trouble: errors.BootsealError
) -> None:
    def refuse(**_: object) -> None:
        raise trouble

    pid1.answers = [trouble]
    if isinstance(trouble, client.Unreachable):
        with pytest.raises(asking.NotThere):
            controls().start("api", 1.0, wait=True)
    monkeypatch.setattr(pid1, "snapshot", refuse)
    with pytest.raises(asking.NotThere) as raised:
        controls().check(("api",), 1.0)
    assert raised.value.exit_code == 6
    with pytest.raises(asking.NotThere):
        asking.ledger(rundir.RunDirectory("/nonexistent"))
