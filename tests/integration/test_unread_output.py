"""A container whose output nobody reads: PID 1 must go on answering, sealing and stopping."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tree as trees

from manifest import serving

LINES = 600_000
COUNT = {"command": ["sh", "-c", f"seq 1 {LINES}; exec sleep 1000"], "ready": {"running": True, "for": "0s"}}
OWN_LINES = 20
"""More than supervisord logs on stdout while a boot of these programs has nobody who reads."""
FLOOD = {"command": ["sh", "-c", "yes 0123456789012345678901234567890123456789 | head -c 8000000; exec sleep 1000"]}


def boot_into_pipes(tree: trees.Tree) -> tuple[subprocess.Popen[bytes], int]:
    """Boot with stdout and stderr on one pipe and return the process and the pipe's end that nobody reads."""
    uid = trees.other_uid()
    reader, writer = os.pipe()
    command = [sys.executable, "-I", "-X", "utf8", "-m", "entrypoint", "boot"]
    command += ["--plan", str(tree.plan_directory), "--run-dir", tree.run.path]
    identity = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    tree.process = subprocess.Popen(
        command, stdout=writer, stderr=writer, env={"PATH": os.environ["PATH"]}, cwd="/", process_group=0, **identity
    )
    os.close(writer)
    return tree.process, reader


def stored_events(tree: trees.Tree, name: str) -> list[dict[str, object]]:
    lines = Path(tree.run.events).read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == name]


@pytest.mark.parametrize("form", serving.LOG_FORMATS)
def test_a_full_pipe_neither_delays_the_seal_nor_the_rpc_nor_the_stop(tree: trees.Tree, form: str) -> None:
    tree.build({"logs": form, "programs": {"flood": FLOOD}})
    process, reader = boot_into_pipes(tree)
    try:
        trees.wait_until(lambda: os.path.exists(tree.run.seal), "sealed although nobody reads")
        trees.wait_until(lambda: tree.snapshot().phase == "sealed", "PID 1 answers and knows")
        process.send_signal(signal.SIGTERM)
        assert process.wait(trees.PATIENCE_SECONDS) == 0
    finally:
        os.close(reader)


def said(tree: trees.Tree) -> int:
    """Return how many lines the flood said so far; whole lines alone."""
    return max((int(line.message) for line in tree.client().output(-1, 1, ("count",)).lines), default=0)


@pytest.mark.parametrize("form", serving.LOG_FORMATS)
def test_what_was_dropped_is_counted_to_the_line_and_said_once_somebody_reads_again(
    tree: trees.Tree, form: str
) -> None:
    tree.build({"logs": form, "programs": {"count": COUNT}})
    process, reader = boot_into_pipes(tree)
    data = b""
    try:
        trees.wait_until(lambda: os.path.exists(tree.run.seal), "sealed although nobody reads")
        trees.wait_until(lambda: tree.snapshot().phase == "sealed", "PID 1 answers although nobody reads")
        trees.wait_until(lambda: said(tree) == LINES, "PID 1 took everything although nobody reads")
        os.set_blocking(reader, False)

        def read_and_look() -> bool:
            nonlocal data
            while trees.is_running(process.pid):
                try:
                    data += os.read(reader, 1 << 20)
                except BlockingIOError:
                    break
            return bool(stored_events(tree, "OutputDropped"))

        trees.wait_until(read_and_look, "OutputDropped")
        process.send_signal(signal.SIGTERM)
        os.set_blocking(reader, True)
        while chunk := os.read(reader, 1 << 20):
            data += chunk
        assert process.wait(trees.PATIENCE_SECONDS) == 0
    finally:
        os.close(reader)
    dropped = stored_events(tree, "OutputDropped")[-1]
    # of stdout: what PID 1 says of its own goes there as well
    kept = [number for line in data.splitlines() if (number := counted(line, form)) is not None]
    assert kept == sorted(set(kept))
    missing = LINES - len(kept)
    assert missing > 0
    assert missing <= int(str(dropped["stdout"])) <= missing + OWN_LINES


def counted(line: bytes, form: str) -> int | None:
    """Return the number that the program said in ``line``, or None for another's line."""
    match form:
        case serving.JSON:
            value = json.loads(line)
            return int(value["message"]) if value.get("program") == "count" and "event" not in value else None
        case serving.PREFIXED:
            return int(line.partition(b" | ")[2]) if line.startswith(b"count ") else None
        case _:
            return int(line) if line.isdigit() else None


@pytest.mark.parametrize("form", serving.LOG_FORMATS)
def test_a_reader_that_is_gone_for_good_ends_nothing_and_fills_no_log(tree: trees.Tree, form: str) -> None:
    tree.build({"logs": form, "programs": {"flood": FLOOD}})
    process, reader = boot_into_pipes(tree)
    trees.wait_until(lambda: os.path.exists(tree.run.boot_record), "Stage A is over")
    os.close(reader)
    tree.wait_ready()
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(trees.PATIENCE_SECONDS) == 0
    assert len(stored_events(tree, "OutputDropped")) <= 1


@pytest.mark.parametrize("form", serving.LOG_FORMATS)
def test_a_reader_that_goes_while_output_waits_for_it_makes_no_busy_loop(tree: trees.Tree, form: str) -> None:
    tree.build({"logs": form, "programs": {"flood": FLOOD}})
    process, reader = boot_into_pipes(tree)
    tree.wait_ready()
    os.close(reader)
    trees.wait_until(lambda: tree.get("/ready")[0] == 200, "still ready")
    before, began = processor_seconds(process.pid), time.monotonic()
    time.sleep(1.5)
    assert processor_seconds(process.pid) - before < (time.monotonic() - began) / 3


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
