import os
import subprocess
import sys
import textwrap

from contract import process


def run(text: str) -> subprocess.CompletedProcess[str]:
    """Run ``text`` in an interpreter of its own: what is tested changes the whole process."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        cwd=os.getcwd(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_process_exits_with_the_boots_code_and_prints_what_waits_first():
    done = run("""
        from supervisord import generation
        generation.arm()
        generation.arm()
        generation.BOOT.stdout.write(b"last words\\n")
        generation.BOOT.exit_code = 6
        raise SystemExit(0)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (6, "last words\n", "")


def test_without_a_failure_the_exit_code_is_supervisords():
    done = run("from supervisord import generation; generation.arm()")
    assert (done.returncode, done.stderr) == (0, "")


def test_one_emitter_counts_on_over_generations(tmp_path):
    done = run(f"""
        from supervisord import generation
        boot = generation.Boot()
        for _ in range(2):
            boot.emitter_for("b", "{tmp_path}/log").emit("ProgramStarted")
        boot.stderr.flush(1.0)
    """)
    assert [line.split('"seq": ')[1][0] for line in done.stderr.splitlines()] == ["1", "2"]


def test_whatever_is_left_below_is_killed_and_reaped_orphans_included():
    done = run("""
        import ctypes, os, subprocess
        from supervisord import generation
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        subprocess.run(["/bin/sh", "-c", "trap '' TERM; sleep 60 & sleep 60 & echo started"], check=True)
        direct = subprocess.Popen(["/bin/sleep", "60"])
        generation.sweep_descendants()
        direct.returncode = 0
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("none left")
    """)
    assert done.stdout == "started\nnone left\n", done.stderr


def test_nothing_outlives_the_process_outside_a_container():
    done = run("""
        import subprocess
        from supervisord import generation
        generation.arm()
        print(subprocess.Popen(["/bin/sleep", "60"]).pid)
    """)
    assert process.start_time(int(done.stdout)) is None


def test_a_sweep_without_children_does_nothing():
    done = run("""
        from supervisord import generation
        generation.sweep_descendants()
        print("swept")
    """)
    assert (done.stdout, done.stderr) == ("swept\n", "")
