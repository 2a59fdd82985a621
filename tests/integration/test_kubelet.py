"""What a kubelet learns from the probes, and when: asked with a model of its probe workers (``kubelet.py``)."""

import os
import signal
import time

import kubelet
import pytest
import tree as trees

HELD = kubelet.Probe("/startupz?wait=25s", period_seconds=1, timeout_seconds=30, failure_threshold=10)
PLAIN = kubelet.Probe("/startupz", period_seconds=1, timeout_seconds=1, failure_threshold=60)
READY = kubelet.Probe("/ready", period_seconds=1, timeout_seconds=1, failure_threshold=1)
LIVE = kubelet.Probe("/livez", period_seconds=1, timeout_seconds=5, failure_threshold=3)


def slow(seconds: float) -> dict[str, object]:
    """Return a program that is ready ``seconds`` after each start."""
    made = f"sleep {seconds}; echo > $READY; exec sleep 1000"
    return {
        "command": ["sh", "-c", made],
        "environment": {"READY": "${run}/slow.ready"},
        "ready": {"file": "${run}/slow.ready"},
    }


def probes(startup: kubelet.Probe = HELD, **others: kubelet.Probe) -> dict[str, kubelet.Probe]:
    return {kubelet.STARTUP: startup, kubelet.READINESS: READY, kubelet.LIVENESS: LIVE, **others}


# --- the model itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "expected"),
    [(10.2, 11.0), (11.0, 12.0), (13.5, 13.5), (14.0, 14.0)],
    ids=[
        "the next tick",
        "a tick that is now is over",
        "one kept tick for three that passed",
        "kept at a tick's moment",
    ],
)
def test_a_ticker_keeps_one_tick_for_who_is_late(now: float, expected: float) -> None:
    ticker = kubelet.Ticker(10.0, 1.0)
    if now == 11.0:
        assert ticker.next_at(10.5) == 11.0
    assert ticker.next_at(now) == expected


def test_after_a_kept_tick_the_next_comes_at_its_own_moment() -> None:
    ticker = kubelet.Ticker(10.0, 1.0)
    assert [ticker.next_at(13.5), ticker.next_at(13.6), ticker.next_at(14.0)] == [13.5, 14.0, 15.0]


def test_a_result_needs_its_threshold_in_a_row() -> None:
    probe = kubelet.Probe("/", failure_threshold=3, success_threshold=2)
    standing, results = kubelet.Standing(), []
    for outcome in (True, True, False, False, True, False, False, False, True, True):
        standing = standing.after(probe, is_success=outcome)
        results.append(standing.result)
    assert results == [None, True, True, True, True, True, True, False, False, True]


# --- against a real boot ----------------------------------------------------------------------------------------


def test_a_held_startup_probe_learns_of_the_seal_in_one_round_trip(tree: trees.Tree) -> None:
    tree.build({"programs": {"slow": slow(3)}})
    tree.start()
    trees.wait_until(lambda: tree.get("/livez")[0] == 200, "the port is open")
    with kubelet.Kubelet(tree.port, probes()) as model:
        trees.wait_until(model.is_ready, "ready for the kubelet")
        readiness, liveness = model.outcomes(kubelet.READINESS), model.outcomes(kubelet.LIVENESS)
    (startup,) = model.outcomes(kubelet.STARTUP)
    assert startup.status == 200
    assert all(one.asked >= startup.answered for one in (*readiness, *liveness)), "startup gates the others"
    assert readiness[0].status == 200, "and what follows at once is true already"


def test_a_plain_startup_probe_has_to_ask_again_and_again(tree: trees.Tree) -> None:
    """The control: without ``wait`` the same boot takes several questions, and is learnt of at a tick."""
    tree.build({"programs": {"slow": slow(3)}})
    tree.start()
    trees.wait_until(lambda: tree.get("/livez")[0] == 200, "the port is open")
    with kubelet.Kubelet(tree.port, probes(PLAIN)) as model:
        trees.wait_until(model.is_ready, "ready for the kubelet")
    statuses = [one.status for one in model.outcomes(kubelet.STARTUP)]
    assert statuses[-1] == 200
    assert statuses[:-1] == [503] * (len(statuses) - 1)
    assert len(statuses) >= 3


def test_a_held_probe_needs_no_next_period(tree: trees.Tree) -> None:
    """Its next question would be 30 s away."""
    tree.build({"programs": {"slow": slow(3)}})
    tree.start()
    trees.wait_until(lambda: tree.get("/livez")[0] == 200, "the port is open")
    rare = kubelet.Probe("/startupz?wait=25s", period_seconds=30, timeout_seconds=30, failure_threshold=2)
    with kubelet.Kubelet(tree.port, probes(rare)) as model:
        trees.wait_until(model.is_ready, "ready for the kubelet")
        assert [one.status for one in model.outcomes(kubelet.STARTUP)] == [200]


def test_a_boot_that_is_never_ready_fails_its_threshold_of_held_questions(tree: trees.Tree) -> None:
    never = {"command": ["sleep", "1000"], "ready": {"file": "${run}/never"}}
    tree.build({"programs": {"never": never}})
    tree.start()
    trees.wait_until(lambda: tree.get("/livez")[0] == 200, "the port is open")
    short = kubelet.Probe("/startupz?wait=1s", period_seconds=1, timeout_seconds=30, failure_threshold=3)
    with kubelet.Kubelet(tree.port, probes(short)) as model:
        trees.wait_until(lambda: model.killed_by, "the kubelet gives up")
        assert model.killed_by == kubelet.STARTUP
        assert [one.status for one in model.outcomes(kubelet.STARTUP)] == [503] * 3
        assert model.outcomes(kubelet.READINESS) == model.outcomes(kubelet.LIVENESS) == []


def test_a_held_ready_probe_learns_of_the_seal_without_a_startup_probe(tree: trees.Tree) -> None:
    tree.build({"programs": {"slow": slow(3)}})
    tree.start()
    trees.wait_until(lambda: tree.get("/livez")[0] == 200, "the port is open")
    held = kubelet.Probe("/ready?wait=25s", period_seconds=1, timeout_seconds=30, failure_threshold=1)
    with kubelet.Kubelet(tree.port, {kubelet.READINESS: held}) as model:
        trees.wait_until(model.is_ready, "ready for the kubelet")
        assert [one.status for one in model.outcomes(kubelet.READINESS)][:1] == [200]


def test_an_outage_is_seen_at_the_next_question_even_by_a_probe_that_asks_to_be_held(tree: trees.Tree) -> None:
    """After the first seal nothing is held: with a timeout of 1 s a held answer would be no answer."""
    tree.build({"programs": {"slow": slow(2.5)}})
    tree.start()
    tree.wait_ready()
    held = kubelet.Probe("/ready?wait=25s", period_seconds=1, timeout_seconds=1, failure_threshold=1)
    with kubelet.Kubelet(tree.port, probes(readiness=held)) as model:
        trees.wait_until(model.is_ready, "ready for the kubelet")
        pid = tree.program("slow").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        died = time.monotonic()
        trees.wait_until(lambda: not model.is_ready(), "unready for the kubelet")
        trees.wait_until(model.is_ready, "ready again for the kubelet")
    after = [one for one in model.outcomes(kubelet.READINESS) if one.asked > died]
    assert after[0].status == 503, "the first question after the death"
    assert {one.status for one in after} == {200, 503}, "every question was answered in time"
    assert {one.status for one in model.outcomes(kubelet.LIVENESS)} == {200}, "an outage is no reason to restart"
    assert not model.killed_by


def test_a_boot_that_fails_names_its_cause_before_the_kubelet_gives_up(tree: trees.Tree) -> None:
    never = {"command": ["sleep", "1000"], "ready": {"file": "${run}/never"}}
    tree.build({"programs": {"never": never}, "boot": {"seal_timeout": "3s"}})
    tree.start()
    trees.wait_until(lambda: tree.get("/livez")[0] == 200, "the port is open")
    with kubelet.Kubelet(tree.port, probes()) as model:
        assert tree.exit_code() == 6
        ended = time.monotonic()
        assert not model.killed_by
        first = trees.wait_until(lambda: model.outcomes(kubelet.STARTUP)[:1], "the held question ended")[0]
    assert first.status in {503, None}
    assert first.asked < ended
    assert "never" in tree.failure()["cause"]
