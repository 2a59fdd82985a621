"""A watcher's thread: one work at a time, woken at will, and not ended by a failure."""

import logging
import threading

from probes import background

PATIENCE_SECONDS = 30.0


def test_it_works_at_once_and_again_when_woken():
    done = threading.Semaphore(0)
    periodic = background.Periodic("test", done.release, 3600)
    periodic.start()
    assert done.acquire(timeout=PATIENCE_SECONDS)

    periodic.wake()

    assert done.acquire(timeout=PATIENCE_SECONDS)
    periodic.stop()


def test_it_works_again_by_itself_after_the_interval():
    done = threading.Semaphore(0)
    periodic = background.Periodic("test", done.release, 0.001, at_once=False)
    periodic.start()
    for _ in range(3):
        assert done.acquire(timeout=PATIENCE_SECONDS)
    periodic.stop()


def test_it_never_works_twice_at_a_time_and_many_wakes_are_one():
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def work():
        begun.release()
        go_on.acquire()

    periodic = background.Periodic("test", work, 3600)
    periodic.start()
    assert begun.acquire(timeout=PATIENCE_SECONDS)
    for _ in range(100):
        periodic.wake()
    assert not begun.acquire(blocking=False)
    go_on.release()

    assert begun.acquire(timeout=PATIENCE_SECONDS)
    go_on.release()
    periodic.stop()
    assert not begun.acquire(timeout=0.05)


def test_a_failure_is_logged_and_the_next_work_is_done(caplog):
    done = threading.Semaphore(0)
    outcomes = iter([ValueError("broken once"), None])

    def work():
        outcome = next(outcomes)
        done.release()
        if outcome:
            raise outcome

    with caplog.at_level(logging.ERROR):
        periodic = background.Periodic("test", work, 3600)
        periodic.start()
        assert done.acquire(timeout=PATIENCE_SECONDS)
        periodic.wake()
        assert done.acquire(timeout=PATIENCE_SECONDS)
    periodic.stop()

    assert "background work test failed" in caplog.text
    assert "broken once" in caplog.text
