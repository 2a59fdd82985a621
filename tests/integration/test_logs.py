"""How programs' output reaches the container's, in each format, and what PID 1 keeps of it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import tree as trees

from contract import output
from supervisord import client

SAY = r"printf 'one\n\033[2K\rapi | forged\n\377\n'; echo trouble >&2; printf 'x%.0s' $(seq 40000); echo; printf unfinished"
SPEAKER = {"command": ["sh", "-c", f"{SAY}; exec sleep 1000"], "ready": {"running": True, "for": "0s"}}


def boot(tree: trees.Tree, form: str, **programs: Any) -> trees.Tree:
    tree.build({"logs": form, "programs": {"api": trees.QUICK, **programs}})
    tree.start().wait_ready()
    return tree


def stdout(tree: trees.Tree) -> list[bytes]:
    return (tree.root / "stdout").read_bytes().split(b"\n")[:-1]


def stderr(tree: trees.Tree) -> list[bytes]:
    return (tree.root / "stderr").read_bytes().split(b"\n")[:-1]


def test_in_json_a_collector_gets_json_and_nothing_else_from_the_first_line_to_the_last(tree: trees.Tree) -> None:
    boot(tree, "json", speaker=SPEAKER)
    pid = tree.program("speaker").pid
    trees.wait_until(lambda: any(b'"speaker"' in line and b"xxx" in line for line in stdout(tree)), "it spoke")
    assert tree.stop() == 0
    lines = [json.loads(line) for line in (*stdout(tree), *stderr(tree))]
    said = [line for line in lines if line.get("program") == "speaker" and "event" not in line]
    assert {(line["pid"], set(line) >= {"time", "stream", "message"}) for line in said} == {(pid, True)}
    assert [line["message"] for line in said if line["stream"] == "stderr"] == ["trouble"]
    whole = "".join(
        line["message"] + ("" if line.get("partial") else "\n") for line in said if line["stream"] == "stdout"
    )
    assert whole == "one\n\x1b[2K\rapi | forged\n\\xff\n" + "x" * 40_000 + "\nunfinished\n"
    assert [len(line["message"]) for line in said if line.get("partial")] == [16384, 16384]
    own = [line for line in lines if line.get("program") == "supervisord"]
    assert {(line["pid"], line["stream"]) for line in own} == {(tree.pid, "stdout")}
    assert any("spawned: 'speaker'" in line["message"] and line["level"] == "info" for line in own)
    events = [line for line in lines if "event" in line]
    assert {"stage-a", "supervisord", "seal"} <= {event["source"] for event in events}
    assert any(event["event"] == "BootstrapCompleted" for event in events)


def test_prefixed_every_line_says_whose_it_is_and_none_can_forge_it(tree: trees.Tree) -> None:
    boot(tree, "prefixed", speaker=SPEAKER)
    trees.wait_until(lambda: any(b"xxx" in line for line in stdout(tree)), "it spoke")
    assert tree.stop() == 0
    prefix = re.compile(rb"(api|speaker|probes|bootstrap|bootstrap-seal|supervisord) {0,13} \| ")
    for line in stdout(tree):
        assert prefix.match(line), line
        assert line.index(b" | ") == len("bootstrap-seal")
        assert line.replace(b"\t", b"").decode().isprintable()
    spoken = [line[17:] for line in stdout(tree) if line.startswith(b"speaker ")]
    assert spoken[:3] == [b"one", rb"\x1b[2K\rapi | forged", rb"\xff"]
    assert b"".join(spoken[3:-1]) == b"x" * 40_000
    assert spoken[-1] == b"unfinished"
    assert all(prefix.match(line) or "event" in json.loads(line) for line in stderr(tree))
    assert tree.events("BootstrapCompleted")


def test_plain_output_is_what_was_printed(tree: trees.Tree) -> None:
    boot(tree, "plain", speaker=SPEAKER)
    trees.wait_until(lambda: any(b"xxx" in line for line in stdout(tree)), "it spoke")
    assert tree.stop() == 0
    whole = (tree.root / "stdout").read_bytes()
    assert b"one\n\x1b[2K\rapi | forged\n\xff\n" in whole
    assert b"unfinished\n" in whole
    assert b"trouble" in stderr(tree)


def test_lines_carry_the_process_that_printed_them_over_a_restart(tree: trees.Tree) -> None:
    command = ["sh", "-c", "echo begin $$; printf 'half of %s' $$; read -r _ < \"$0\"; exit 3", str(tree.root / "gate")]
    gate = tree.root / "gate"
    os.mkfifo(gate)
    gate.chmod(0o666)
    dies = {
        "command": command,
        "required": False,
        "restart": {"backoff": "100ms"},
        "ready": {"running": True, "for": "0s"},
    }
    boot(tree, "json", dies=dies)
    first = trees.wait_until(lambda: tree.program("dies").pid, "it runs")
    trees.wait_until(lambda: keeps(tree, f"begin {first}"), "it spoke")
    gate.write_text("\n")
    second = trees.wait_until(lambda: (pid := tree.program("dies").pid) not in {None, first} and pid, "it runs again")
    trees.wait_until(lambda: keeps(tree, f"begin {second}"), "it spoke again")
    kept = [(line.pid, line.message) for line in tree.client().output(0, 100, ("dies",)).lines]
    assert kept == [(first, f"begin {first}"), (first, f"half of {first}"), (second, f"begin {second}")]
    printed = [json.loads(line) for line in stdout(tree) if b'"dies"' in line]
    assert [(line["pid"], line["message"]) for line in printed if line["program"] == "dies"] == kept


def keeps(tree: trees.Tree, message: str) -> bool:
    return any(line.message == message for line in tree.client().output().lines)


def test_what_was_said_is_kept_followed_page_by_page_and_survives_a_reload(tree: trees.Tree) -> None:
    count = {"command": ["sh", "-c", "seq 1 3000; exec sleep 1000"], "ready": {"running": True, "for": "0s"}}
    boot(tree, "plain", count=count)
    trees.wait_until(lambda: keeps_to(tree, "count", 3000), "it counted")
    asked = tree.client()
    seen: list[output.Line] = []
    page = asked.output(0, 700, ("count",))
    while page.lines:
        assert page.dropped == 0
        seen += page.lines
        page = asked.output(page.next, 700, ("count",))
    assert [line.message for line in seen] == [str(number) for number in range(1, 3001)]
    assert [line.message for line in asked.output(output.NEWEST, 2, ("count",)).lines] == ["2999", "3000"]
    assert page.boot_id == tree.snapshot().boot_id
    os.kill(tree.pid, signal.SIGHUP)
    tree.wait_for_event("SupervisorStarted", generation=2)
    trees.wait_until(
        lambda: any(line.seq > page.next for line in tree.client().output(page.next, 10, ("count",)).lines), "again"
    )
    again = tree.client().output(0, 1, ("count",))
    assert (again.lines[0], again.boot_id) == (seen[0], page.boot_id)


def keeps_to(tree: trees.Tree, name: str, number: int) -> bool:
    newest = tree.client().output(output.NEWEST, 1, (name,)).lines
    return bool(newest) and newest[-1].message == str(number)


def test_a_name_that_is_not_in_the_plan_and_what_is_no_question_are_refused(tree: trees.Tree) -> None:
    boot(tree, "plain")
    with pytest.raises(client.Refused, match="program nobody: the plan has none of this name"):
        tree.client().output(0, 1, ("api", "nobody"))
    for arguments in (("x", "1"), ("0", "1", "api"), ("0",), ("0", "1", [], "more")):
        with pytest.raises(client.Refused):
            tree.client().call("bootseal.output", *arguments)
    assert tree.events("ExtensionFault") == []


def test_one_that_prints_as_fast_as_it_can_keeps_nobody_from_becoming_ready(tree: trees.Tree) -> None:
    """The shortest lines are the most work: a byte becomes a hundred."""
    flood = {"command": ["sh", "-c", "exec yes ''"], "ready": {"running": True, "for": "0s"}}
    late = {f"late-{number}": {**trees.QUICK, "after": ["flood"]} for number in range(10)}
    tree.build({"logs": "json", "programs": {"flood": flood, **late}})
    with reading(tree) as process:
        tree.wait_ready()
        before = tree.client().output(output.NEWEST, 1).next
        killed = tree.program("late-3").pid
        os.kill(killed or 0, signal.SIGKILL)
        trees.wait_until(lambda: tree.program("late-3").pid not in {None, killed}, "started again")
        tree.wait_ready()
        assert tree.client().output(output.NEWEST, 1).next > before
        process.send_signal(signal.SIGTERM)
        assert process.wait(trees.PATIENCE_SECONDS) == 0


@contextlib.contextmanager
def reading(tree: trees.Tree) -> Iterator[subprocess.Popen[bytes]]:
    """Boot into pipes that are read as fast as can be, and thrown away."""
    uid = trees.other_uid()
    command = [sys.executable, "-I", "-X", "utf8", "-m", "entrypoint", "boot"]
    command += ["--plan", str(tree.plan_directory), "--run-dir", tree.run.path]
    identity: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader:
        assert reader.stdin is not None
        tree.process = subprocess.Popen(
            command,
            stdout=reader.stdin,
            stderr=reader.stdin,
            cwd="/",
            process_group=0,
            env={"PATH": os.environ["PATH"]},
            **identity,
        )
        reader.stdin.close()
        try:
            yield tree.process
        finally:
            tree.destroy()
