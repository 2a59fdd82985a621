"""exec checks run real commands, and leave nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from contract import process
from manifest import plan
from probes.checks import execute
from tests.unit import boots


def wanted(*argv):
    return boots.check(plan.EXEC, argv=argv)


def run(*argv, **changes):
    return asyncio.run(asyncio.wait_for(execute.check(wanted(*argv), boots.program("api", **changes)), 30))


def shell(script, **changes):
    return run("/bin/sh", "-c", script, **changes)


def cancelled(tmp_path, until, script):
    """Begin ``script``, cancel the check once it wrote ``$DIR/pid``, and return what stands in there."""
    pid_file = tmp_path / "pid"

    async def scene():
        program = boots.program("api", environment={"DIR": str(tmp_path)})
        check = execute.check(wanted("/bin/sh", "-c", script), program)
        task = asyncio.get_running_loop().create_task(check)
        await asyncio.to_thread(until, lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), "its pid")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(scene(), 30))
    return [int(pid) for pid in pid_file.read_text().split()]


def is_gone(pid):
    start = process.start_time(pid)
    return start is None or not process.is_alive(pid, start)


def test_exit_code_0_passes():
    assert run("/bin/true").ok


def test_any_other_end_fails_with_the_end_of_its_output():
    assert shell("echo one; echo no disk >&2; exit 3").reason == "/bin/sh exited with code 3: one no disk"
    assert shell("kill -9 $$").reason == "/bin/sh was killed by signal 9"


def test_a_command_that_is_not_there_is_named(tmp_path):
    assert run("/nowhere/check").reason == "/nowhere/check: no such file or directory"
    (tmp_path / "plain").write_text("no program")
    assert run(str(tmp_path / "plain")).reason.endswith("/plain: permission denied")
    assert run("/bin/true", directory=str(tmp_path / "none")).reason.endswith("/none: no such file or directory")


def test_it_gets_its_programs_environment_and_directory_and_nothing_of_ours(monkeypatch, tmp_path):
    monkeypatch.setenv("SUPERVISOR_SERVER_URL", "unix://x")
    monkeypatch.setenv("SUPERVISOR_PROCESS_NAME", "probes")
    monkeypatch.setenv("PASSED_ON", "yes")
    fd = os.open("/dev/null", os.O_RDONLY)
    script = (
        '[ "$KEY" = value ] && [ "$PASSED_ON" = yes ] && [ -z "$SUPERVISOR_SERVER_URL$SUPERVISOR_PROCESS_NAME" ]'
        ' && [ "$PWD" = "$DIR" ] && ! read line && [ "$(ls /proc/self/fd | wc -l)" = 4 ] || { ls -l /proc/self/fd; exit 1; }'
    )

    outcome = shell(script, environment={"KEY": "value", "DIR": str(tmp_path)}, directory=str(tmp_path))

    os.close(fd)
    assert outcome.reason == ""
    assert shell("[ $PWD = / ]").ok


def test_no_value_of_its_environment_is_shown():
    outcome = shell('echo "key is $KEY"; exit 1', environment={"KEY": "hunter2-hunter2"})

    assert outcome.reason == "/bin/sh exited with code 1: key is ***"


def test_a_flood_of_output_is_read_and_only_its_end_kept():
    outcome = shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1")

    assert outcome.reason.endswith("x the end")
    assert len(outcome.reason) <= 300


def test_a_grandchild_that_holds_the_output_does_not_hold_the_check_and_is_killed(tmp_path, make):
    outcome = shell("sleep 1000 & echo $! > $DIR/pid; exit 0", environment={"DIR": str(tmp_path)})

    assert outcome.ok
    make.until(lambda: is_gone(int((tmp_path / "pid").read_text())), "the grandchild's end")


def test_when_it_is_cancelled_the_whole_group_is_killed_and_reaped(tmp_path, make):
    script = 'trap "" TERM INT HUP; sleep 1000 & echo "$$ $!" > $DIR/pid.new; mv $DIR/pid.new $DIR/pid; wait'
    leader, grandchild = cancelled(tmp_path, make.until, script)

    make.until(lambda: process.start_time(leader) is None, "the leader is reaped, not a zombie")
    make.until(lambda: is_gone(grandchild), "the grandchild's end")


def test_it_is_reaped_even_when_the_loop_ended_first(tmp_path):
    script = (
        "import asyncio, os, sys\n"
        "from tests.unit import boots\n"
        "from probes.checks import execute\n"
        "async def main():\n"
        "    check = execute.check(boots.check('exec', argv=('/bin/sleep', '1000')), boots.program('api'))\n"
        "    asyncio.get_running_loop().create_task(check)\n"
        "    while not (pids := open(f'/proc/self/task/{os.getpid()}/children').read().split()):\n"
        "        await asyncio.sleep(0)\n"
        "    print(*pids)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert is_gone(int(ended.stdout))
    assert ended.stderr == ""


def test_nothing_is_left_open(tmp_path):
    run("/bin/true")
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(5):
        run("/bin/true"), run("/bin/false"), run("/nowhere/check")

    assert len(os.listdir("/proc/self/fd")) == before


def test_signals_are_as_a_program_expects_them():
    signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert shell("grep -q '^SigBlk:[[:space:]]*0*$' /proc/self/status").ok


def test_it_has_nothing_to_read():
    reading, writing = os.pipe()
    os.write(writing, b"ours\n")
    ours = os.dup(0)
    os.dup2(reading, 0)
    try:
        assert shell("! read line").ok
    finally:
        os.dup2(ours, 0)
        for fd in (reading, writing, ours):
            os.close(fd)


@pytest.mark.parametrize("value", ["short", ""])
def test_a_short_value_is_no_secret(value):
    assert execute.masked("a short word", {"KEY": value}) == "a short word"
