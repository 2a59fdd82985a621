"""Checks begin and end with the processes in the ledger, and only what counts is told. Real sockets, no sleeps but theirs."""

import asyncio
import contextlib
import json
import logging

import pytest

from contract import snapshot
from manifest import plan
from probes.checks import outbox, runner, slots, tally, verdict
from tests.unit import boots

PATIENCE_SECONDS = 15


class Stage:
    """A runner, the ledger it follows, and what it told."""

    def __init__(self, *programs):
        self.box = outbox.Outbox()
        self.tally = tally.Tally()
        self.runner = runner.Runner(boots.make_plan(*programs), self.box, self.tally)
        self.told = []
        self._news = asyncio.Condition()

    async def __aenter__(self):
        self._before = asyncio.all_tasks()
        self._listening = asyncio.create_task(self._listen())
        self.show()  # a ledger without them: what comes later is news
        return self

    async def __aexit__(self, *_):
        self.runner.stop()
        self._listening.cancel()
        await asyncio.gather(*asyncio.all_tasks() - self._before, return_exceptions=True)

    async def _listen(self):
        while True:
            lines = await self.box.take()
            async with self._news:
                self.told += [json.loads(line)["verdict"] for line in lines.splitlines()]
                self._news.notify_all()

    def show(self, *views, **changes):
        self.runner.take(boots.ledger(*views, **changes))

    async def until(self, claim, what="what is awaited is told"):
        async def wait():
            async with self._news:
                await self._news.wait_for(lambda: claim(self.told))

        try:
            await asyncio.wait_for(wait(), PATIENCE_SECONDS)
        except TimeoutError:
            raise AssertionError(f"it never happened: {what}; told was {self.told[-5:]}") from None
        return self.told

    async def passed(self, name="api"):
        await self.until(lambda told: any(one["program"] == name and one["ok"] for one in told))


def pending(name="api", **changes):
    return boots.view(name, **({"state": snapshot.PENDING, "ready_at": None} | changes))


def checked(check, name="api", **changes):
    return boots.program(name, ready=boots.ready(check.kind, check=check), **changes)


def tcp(port, **changes):
    return boots.check(plan.TCP, host="127.0.0.1", port=port, **changes)


def live(check, **changes):
    return plan.LivePlan(
        **({"check": check, "period_seconds": 0.01, "failures": 3, "successes": 2, "restart": False} | changes)
    )


def living(check, name="api", **changes):
    return boots.program(name, live=live(check, **changes))


class Answers:
    """An http server whose status the test chooses; None: it never answers."""

    def __init__(self, status=200):
        self.status = status
        self.asked = 0
        self.open = 0
        self.most_open = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    def check(self, **changes):
        return boots.check(plan.HTTP, url=f"http://127.0.0.1:{self.port}/x", **changes)

    async def _serve(self, reader, writer):
        self.asked += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if self.status is not None:
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self.status)
            await reader.read()
        self.open -= 1
        writer.close()


async def until(claim):
    """Let the loop turn until ``claim()`` holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not claim():  # noqa: ASYNC110  # what is waited for is a server's count or a runner's state
            await asyncio.sleep(0.005)


def play(scene):
    return asyncio.run(asyncio.wait_for(scene(), 60))


# --- ready ---------------------------------------------------------------------------------------------------------


def test_a_ready_check_passes_once_and_names_the_process():
    async def scene():
        async with Answers() as answers, Stage(checked(answers.check())) as stage:
            stage.show(pending(pid=7, pid_start=8))
            await stage.passed()
            stage.show(pending(pid=7, pid_start=8))
            stage.show(boots.view("api", pid=7, pid_start=8))
            await asyncio.sleep(0.05)
            return stage.told, answers.asked

    told, asked = play(scene)
    assert told == [
        {"program": "api", "pid": 7, "pid_start": 8, "purpose": "ready", "ok": True, "reason": ""},
    ]  # fmt: skip
    assert asked == 1


def test_the_first_check_begins_when_the_pid_is_known_in_the_same_turn():
    async def scene():
        async with Stage(checked(tcp(1))) as stage:
            begun = []
            stage.runner._attempts.make = lambda *_: begun.append(1) or asyncio.sleep(3600)
            stage.show(pending())
            await asyncio.sleep(0)
            return begun

    assert play(scene) == [1]


def test_while_it_fails_each_new_reason_is_told_once():
    async def scene():
        async with Answers(503) as answers, Stage(checked(answers.check())) as stage:
            stage.show(pending())
            await until(lambda: answers.asked >= 4)
            answers.status = 500
            await stage.until(lambda told: len(told) == 2)
            answers.status = 200
            await stage.passed()
            return [one["reason"].rpartition("/x ")[2] for one in stage.told], stage.tally

    reasons, counted = play(scene)
    assert reasons == ["answered 503, not 200-299", "answered 500, not 200-299", ""]
    assert counted.failures["api", "ready"] >= 4
    assert sum(counted.durations["api", "ready"].counts) == counted.failures["api", "ready"] + 1


def test_a_port_that_opens_later_is_found(make):
    async def scene():
        port = make.free_port()
        async with Stage(checked(tcp(port))) as stage:
            stage.show(pending())
            await stage.until(lambda told: told)
            async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port):
                await stage.passed()
            return [one["reason"] for one in stage.told]

    assert play(scene) == ["connection refused", ""]


def test_a_check_that_hangs_has_failed_at_its_timeout_and_runs_again_alone():
    async def scene():
        async with Answers(None) as answers, Stage(checked(answers.check(timeout_seconds=0.05))) as stage:
            stage.show(pending())
            await stage.until(lambda told: told)
            await until(lambda: answers.asked >= 3)
            answers.status = 200
            await stage.passed()
            return stage.told, answers.most_open

    told, most_open = play(scene)
    assert told[0]["reason"] == "no answer within 0.05 s"
    assert most_open == 1


def test_a_late_answer_is_not_heard():
    class Late(Answers):
        async def _serve(self, reader, writer):
            self.asked += 1
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                await stage_is_told.wait()
                writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n")
            writer.close()

    stage_is_told = asyncio.Event()

    async def scene():
        async with Late() as answers, Stage(living(answers.check(timeout_seconds=0.05), period_seconds=0.01)) as stage:
            stage.show(boots.view("api"))
            await stage.until(lambda told: any(not one["ok"] for one in told))
            count = len(stage.told)
            stage.show()
            stage_is_told.set()
            await asyncio.sleep(0.05)
            return stage.told[count:]

    assert play(scene) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": None}, {"pid_start": None}, {"supervisor_state": "STOPPING"}, {"supervisor_state": "BACKOFF"},
        {"state": snapshot.READY}, {"state": snapshot.STALE}, {"state": snapshot.FAILED},
    ],
)  # fmt: skip
def test_what_is_not_alive_or_is_proven_is_not_checked(changes):
    async def scene():
        async with Answers() as answers, Stage(checked(answers.check())) as stage:
            stage.show(pending(**changes))
            await asyncio.sleep(0.05)
            return stage.told, answers.asked

    assert play(scene) == ([], 0)


@pytest.mark.parametrize("phase", [snapshot.SEALED, snapshot.HELD])
def test_it_is_checked_in_every_phase_but_stopping(phase):
    async def scene():
        async with Answers() as answers, Stage(checked(answers.check())) as stage:
            stage.show(pending(), phase=phase)
            await stage.passed()
            asked = answers.asked
            stage.show(pending(pid=101), phase=snapshot.STOPPING)
            await asyncio.sleep(0.05)
            return answers.asked - asked, stage.box._standing

    assert play(scene) == (0, {})


def test_a_new_pid_begins_anew_and_the_old_ones_answer_is_never_told():
    async def scene():
        async with Answers(None) as answers, Stage(checked(answers.check(timeout_seconds=30.0))) as stage:
            stage.show(pending(pid=1))
            await until(lambda: answers.asked)
            answers.status = 200
            stage.show(pending(pid=2))
            await stage.passed()
            await until(lambda: answers.open <= 1)
            stage.show(pending(pid=2, pid_start=1001))
            await stage.until(lambda told: len(told) == 2)
            return [(one["pid"], one["pid_start"]) for one in stage.told]

    assert play(scene) == [(2, 1000), (2, 1001)]


def test_a_verdict_that_still_waits_is_dropped_when_its_process_is_gone():
    async def scene():
        async with Stage(checked(tcp(1))) as stage:
            stage._listening.cancel()
            stage.show(pending())
            await until(lambda: stage.box._unsent)
            stage.show(pending(supervisor_state="STOPPING"))
            return stage.box._unsent, stage.box._standing

    assert play(scene) == ({}, {})


def test_exec_is_given_its_program(tmp_path):
    async def scene():
        check = boots.check(plan.EXEC, argv=("/bin/sh", "-c", 'test -e "$MARK"'), timeout_seconds=20.0)
        (tmp_path / "mark").touch()
        async with Stage(checked(check, environment={"MARK": str(tmp_path / "mark")})) as stage:
            stage.show(pending())
            await stage.passed()

    play(scene)


def test_a_fault_of_ours_is_a_failed_check_and_logged_once(monkeypatch, caplog):
    async def broken(*_):
        raise ZeroDivisionError("key=hunter2")

    monkeypatch.setitem(runner._KINDS, plan.TCP, broken)

    async def scene():
        async with Stage(checked(tcp(1))) as stage:
            stage.show(pending())
            await until(lambda: stage.tally.failures["api", "ready"] >= 3)
            return stage.told

    with caplog.at_level(logging.ERROR):
        told = play(scene)
    assert [one["reason"] for one in told] == ["it could not be run: ZeroDivisionError"]
    assert len(caplog.records) == 1


# --- live ----------------------------------------------------------------------------------------------------------


def test_every_outcome_renews_and_thresholds_hold():
    async def scene():
        async with Answers() as answers, Stage(living(answers.check())) as stage:
            stage.show(boots.view("api"))
            await stage.until(lambda told: len(told) >= 3)
            answers.status = 503
            await stage.until(lambda told: not told[-1]["ok"])
            stage.show(boots.view("api", state=snapshot.FAILED))
            down = len(stage.told)
            await stage.until(lambda told: len(told) >= down + 3)
            answers.status = 200
            await stage.until(lambda told: told[-1]["ok"])
            return stage.told, stage.tally.failures["api", "live"]

    told, failures = play(scene)
    words = "".join("+" if one["ok"] else "-" for one in told)
    assert {one["purpose"] for one in told} == {"live"}
    assert words.strip("+").strip("-") == ""
    assert failures - words.count("-") == 3 - 1 - (2 - 1)  # two failures were not told as such, and one success
    assert all(one["reason"].endswith("answered 503, not 200-299") for one in told if not one["ok"])


def test_the_first_live_check_comes_a_period_after_readiness():
    async def scene():
        async with Answers() as answers, Stage(living(answers.check(), period_seconds=3600.0)) as stage:
            stage.show(pending())
            stage.show(boots.view("api"))
            await asyncio.sleep(0.05)
            return answers.asked

    assert play(scene) == 0


@pytest.mark.parametrize(("state", "ok"), [(snapshot.READY, True), (snapshot.FAILED, False)])
def test_what_was_ready_before_this_server_began_is_checked_at_once(state, ok):
    async def scene():
        async with Answers() as answers:
            stage = Stage(living(answers.check(), period_seconds=3600.0))
            stage.__class__ = type("Fresh", (Stage,), {"show": lambda *_: None})
            async with stage:
                stage.runner.take(boots.ledger(boots.view("api", state=state)))
                return await stage.until(lambda told: told)

    [told] = play(scene)
    assert told["ok"] is ok
    assert bool(told["reason"]) is not ok


def test_live_checks_go_on_while_it_reloads_and_end_with_its_process():
    async def scene():
        async with Answers() as answers, Stage(living(answers.check())) as stage:
            stage.show(boots.view("api"))
            stage.show(pending())
            await stage.until(lambda told: len(told) >= 3)
            stage.show(boots.view("api", supervisor_state="EXITED", pid=None, pid_start=None))
            await asyncio.sleep(0)
            asked = answers.asked
            await asyncio.sleep(0.05)
            return answers.asked - asked

    assert play(scene) <= 1  # one may be accepted late


def test_a_ready_check_is_followed_by_the_live_one():
    async def scene():
        async with Answers() as answers:
            program = checked(answers.check(), live=live(answers.check()))
            async with Stage(program) as stage:
                stage.show(pending())
                await stage.passed()
                stage.show(boots.view("api"))
                await stage.until(lambda told: told[-1]["purpose"] == "live")
                return [one["purpose"] for one in stage.told][:2]

    assert play(scene) == ["ready", "live"]


# --- many ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("timeout", "most"), [(1.0, 16), (30.0, 8)])
def test_at_most_sixteen_checks_run_at_once_and_eight_of_those_that_may_take_long(timeout, most):
    async def scene():
        async with Answers(None) as answers:
            names = [f"p{number}" for number in range(100)]
            async with Stage(*(checked(answers.check(timeout_seconds=timeout), name) for name in names)) as stage:
                stage.show(*(pending(name) for name in names))
                await until(lambda: answers.asked >= most)
                await asyncio.sleep(0.05)
                return answers.asked

    assert play(scene) == most


def test_a_hundred_programs_are_all_checked_in_turn():
    async def scene():
        async with Answers() as answers:
            names = [f"p{number}" for number in range(100)]
            async with Stage(*(checked(answers.check(timeout_seconds=30.0), name) for name in names)) as stage:
                stage.show(*(pending(name) for name in names))
                await stage.until(lambda told: len({one["program"] for one in told if one["ok"]}) == 100)
                return answers.asked

    assert play(scene) == 100


def test_a_check_that_ran_out_of_time_is_slow_until_it_answers():
    async def scene():
        async with Answers(None) as answers:
            check = answers.check(timeout_seconds=0.05)
            async with Stage(living(check)) as stage:
                places, taken = stage.runner._attempts._slots, []
                take = places.take
                places.take = lambda *, is_slow: taken.append(is_slow) or take(is_slow=is_slow)
                stage.show(boots.view("api"))
                await until(lambda: len(taken) >= 3)
                answers.status = 200
                await until(lambda: taken[-1] is False and len(taken) > 3)
                return taken

    assert play(scene)[:3] == [False, True, True]


def test_slow_ones_have_half_of_the_places():
    async def scene():
        places = slots.Slots(limit=4, slow_limit=2)
        held = []

        async def hold(name, is_slow):
            async with places.take(is_slow=is_slow):
                held.append(name)
                await asyncio.sleep(3600)

        tasks = [asyncio.create_task(hold(f"slow{number}", True)) for number in range(10)]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(hold(f"quick{number}", False)) for number in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        first = list(held)
        tasks[0].cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return first, held[len(first) :]

    first, then = play(scene)
    assert first == ["slow0", "slow1", "quick0", "quick1"]
    assert len(then) == 1


def test_a_plan_without_checks_costs_nothing():
    async def scene():
        async with Stage(boots.program("api")) as stage:
            stage.show(pending())
            return len(asyncio.all_tasks())

    assert play(scene) <= 3
    assert verdict.PASSED.ok
