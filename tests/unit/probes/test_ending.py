"""The end of the probe server's process: nothing that hangs in a thread keeps it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = """
import asyncio, concurrent.futures, sys, threading
sys.path.insert(0, sys.argv[1])
from probes import ending

async def serve(how):
    hangs = threading.Event()
    asyncio.get_running_loop().run_in_executor(None, hangs.wait)
    asyncio.get_running_loop().run_in_executor(concurrent.futures.ThreadPoolExecutor(1), hangs.wait)
    async def rest():
        try:
            await asyncio.sleep(3600)
        finally:
            print("cancelled")
    asyncio.get_running_loop().create_task(rest())
    await asyncio.sleep(0.05)
    if how == "broke":
        raise ZeroDivisionError("for a test")
    if how == "told":
        sys.exit(0)

ending.serve_and_exit(serve(sys.argv[2]))
"""


@pytest.mark.parametrize(("how", "status", "out"), [("broke", 1, ""), ("whole", 0, "cancelled\n"), ("told", 0, "")])
def test_a_thread_that_hangs_does_not_keep_the_process(how, status, out):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT), how], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (status, out)
    assert ("ZeroDivisionError: for a test" in done.stderr) == (how == "broke")
