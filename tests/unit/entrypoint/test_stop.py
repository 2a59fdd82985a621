import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from contract import exit_codes
from entrypoint import stop
from tests.unit import children


def stopped_by(work) -> int | None:
    """Return the number of the stop that ``work`` raised."""
    try:
        work()
    except stop.Stopped as error:
        return error.number
    return None


@pytest.mark.parametrize("number", exit_codes.STOP_SIGNALS)
def test_every_stop_signal_ends_the_work_with_its_number(number):
    def work() -> bool:
        stop.arm()
        return stopped_by(lambda: signal.raise_signal(number)) == number

    assert children.run(work) == 0


def test_a_stop_that_waits_since_before_the_handlers_is_taken_by_arming():
    def work() -> bool:
        signal.pthread_sigmask(signal.SIG_BLOCK, exit_codes.STOP_SIGNALS)
        os.kill(os.getpid(), signal.SIGTERM)
        return stopped_by(stop.arm) == signal.SIGTERM

    assert children.run(work) == 0


def test_a_stop_ends_a_system_call_that_waits():
    def work() -> bool:
        stop.arm()
        reader, _ = os.pipe()
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return stopped_by(lambda: os.read(reader, 1)) == signal.SIGTERM

    assert children.run(work) == 0


def test_the_first_stop_counts_and_later_ones_are_ignored():
    def work() -> bool:
        stop.arm()
        first = stopped_by(lambda: signal.raise_signal(signal.SIGINT))
        for number in exit_codes.STOP_SIGNALS:
            signal.raise_signal(number)
        return first == signal.SIGINT

    assert children.run(work) == 0


def test_a_broad_except_does_not_swallow_a_stop():
    def work() -> bool:
        stop.arm()

        def phase() -> None:
            try:
                signal.raise_signal(signal.SIGTERM)
            except Exception:
                return

        return stopped_by(phase) == signal.SIGTERM

    assert children.run(work) == 0


class LosesIt:
    """Takes a signal in its destructor, where Python prints an exception and goes on."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("gate", [stop.block, lambda: stop.deadline(60).__enter__()])
def test_a_stop_lost_in_a_destructor_is_raised_again_at_the_next_step(gate):
    def work() -> bool:
        sys.unraisablehook = lambda _unraisable: None
        stop.arm()
        LosesIt()
        return stopped_by(gate) == signal.SIGTERM

    assert children.run(work) == 0


def test_a_blocked_stop_waits_and_survives_the_exec():
    reader, writer = os.pipe()

    def work() -> None:
        os.dup2(writer, 1)
        stop.arm()
        stop.block()
        signal.raise_signal(signal.SIGTERM)
        os.execv("/bin/cat", ["cat", "/proc/self/status"])

    pid = children.start(work)
    os.close(writer)
    with open(reader, encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file.read().splitlines())
    assert children.ended(pid) == 0
    pending = int(status["SigPnd"], 16) | int(status["ShdPnd"], 16)
    assert pending >> (signal.SIGTERM - 1) & 1
    for number in exit_codes.STOP_SIGNALS:
        assert int(status["SigBlk"], 16) >> (number - 1) & 1


def test_a_deadline_ends_what_takes_longer():
    def late() -> None:
        with stop.deadline(0.01):
            time.sleep(600)

    with pytest.raises(stop.DeadlineExceeded):
        late()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_deadline_that_is_kept_leaves_no_alarm_behind():
    with stop.deadline(600):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


EVERYWHERE = textwrap.dedent("""
    import os, signal, sys
    from entrypoint import __main__ as program
    from entrypoint import stop  # what comes before its handlers is the interpreter's start, and no moment of Stage A

    def boot(at):
        # Run the boot and return (exit code, calls made), with SIGTERM raised at the call number ``at``.
        calls = 0
        def count(_frame, _event, _argument):
            nonlocal calls
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGTERM)
        sys.setprofile(count)
        code = program.main()
        sys.setprofile(None)
        return code, calls

    def in_a_child(at):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            code, calls = boot(at)
            os.write(writer, b"%d" % calls)
            os._exit(code)
        os.close(writer)
        calls = os.read(reader, 100)
        os.close(reader)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), int(calls or 0)

    sys.argv[1:] = ["boot", "--plan", sys.argv[1] + "/none", "--run-dir", sys.argv[1] + "/run"]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    in_a_child(-1)  # the first run may have to compile what it imports
    code, calls = in_a_child(-1)
    print(code, end=" ")
    for step in range(1, 19):
        print(in_a_child(calls * step // 20)[0], end=" ")
    print()
    for back in range(12):
        print(in_a_child(calls - back)[0], end=" ")
""")


def test_a_stop_at_any_moment_of_stage_a_ends_it_with_143(tmp_path):
    """While modules load, between phases, within one, and while the failure is told."""
    done = subprocess.run(
        [sys.executable, "-c", EVERYWHERE, str(tmp_path)],
        cwd=os.getcwd(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    spread, last_moments = done.stdout.splitlines()
    assert spread.split() == ["6", *["143"] * 18], done.stderr
    assert set(last_moments.split()) <= {"6", "143"}, "once the boot ended with its own code, a stop changes nothing"


def test_a_stop_that_waited_for_the_interpreter_to_start_ends_the_boot_with_143_and_without_a_traceback(tmp_path):
    def pending() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, exit_codes.STOP_SIGNALS)
        os.kill(os.getpid(), signal.SIGTERM)

    done = subprocess.run(
        [sys.executable, "-m", "entrypoint", "boot", "--plan", f"{tmp_path}/none", "--run-dir", f"{tmp_path}/run"],
        capture_output=True, text=True, timeout=60, check=False, preexec_fn=pending,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")
