"""A real boot keeps to what its own /openapi.json says: while it boots, when it is ready, and after an outage."""

import os
import signal
from pathlib import Path

import tree as trees

from tests import contract_checking


def hold(tree: trees.Tree, folder: Path) -> None:
    """Let schemathesis look for an answer that is not as the document says."""
    status, document = tree.get("/openapi.json")
    assert status == 200
    short = contract_checking.shortened(document)
    code, told = contract_checking.run(short, f"http://127.0.0.1:{tree.port}", folder)
    assert code == 0, told
    assert "No issues found" in told


def test_a_real_boot_keeps_to_its_document(tree: trees.Tree, tmp_path: Path) -> None:
    gate = Path(tree.run.path) / "gate"
    programs = {
        "migrate": {"command": ["true"], "oneshot": True},
        "api": {
            "command": ["sh", "-c", "echo it runs; exec sleep 1000"], "after": ["migrate"],
            "ready": {"file": "${run}/gate"}, "restart": {"backoff": "1m", "cap": "1m"},
        },
        "broken": {"command": ["false"], "required": False},
    }  # fmt: skip
    tree.build({"programs": programs, "ready": {"mounts": [{"path": "/proc", "writable": False}]}})
    tree.start()
    trees.wait_until(lambda: tree.get("/openapi.json")[0] == 200, "it answers", tree.stderr)
    tree.wait_for_event("ProgramReady", program="migrate")
    hold(tree, tmp_path)
    gate.write_text("")
    tree.wait_ready()
    hold(tree, tmp_path)
    served = tree.get("/v1/meta")[1]["endpoints"]["paths"]
    assert sorted(served) == sorted(tree.get("/openapi.json")[1]["paths"])
    process = tree.program("api")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    tree.wait_unready()
    hold(tree, tmp_path)
