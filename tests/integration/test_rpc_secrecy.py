"""What a program alone is given, nobody reads elsewhere: not over RPC, not in a log, not in a file, not in another process."""

import os
from pathlib import Path

import tree as trees

from contract import errors

VALUE = "a-value-for-one-program-only"
MANIFEST = {
    "programs": {
        "owner": {**trees.QUICK, "environment": {"OWNERS_WORD": VALUE}},
        "other": {**trees.QUICK, "after": ["owner"]},
        "notifier": {**trees.QUICK, "required": False, "ready": {"notify": True}, "environment": {"SECOND": VALUE}},
    }
}


def test_no_rpc_answer_log_file_or_other_process_shows_a_programs_environment(tree: trees.Tree) -> None:
    tree.build(MANIFEST)
    tree.start().wait_ready()
    calls = tree.client()
    asked = 0
    for method in calls.call("system.listMethods"):
        if not method.startswith(("system.", "bootseal.fail")) and not _changes_something(method):
            for arguments in ((), ("owner",), ("owner", 0, 10_000), (0, 10_000)):
                asked += 1
                try:
                    answer = repr(calls.call(method, *arguments))
                except errors.BootsealError as error:
                    answer = str(error)
                assert VALUE not in answer, (method, arguments)
    assert asked > 40
    owners = {tree.program("owner").pid, tree.program("notifier").pid}
    for pid in (tree.pid, *trees.descendants(tree.pid)):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert (VALUE.encode() in environment) == (pid in owners), trees.cmdline(pid)
        assert VALUE not in trees.cmdline(pid)
        if pid not in owners and pid != tree.pid:
            assert b"NOTIFY_SOCKET" not in environment
    assert VALUE not in tree.stdout() + tree.stderr()
    for folder, _, names in os.walk(tree.run.path):
        for name in names:
            path = Path(folder, name)
            assert not path.is_file() or VALUE.encode() not in path.read_bytes(), path
    assert VALUE not in (tree.plan_directory / "supervisord.conf").read_text()


def _changes_something(method: str) -> bool:
    verbs = ("start", "stop", "shutdown", "restart", "clear", "signal", "send", "add", "remove", "reload")
    return method.partition(".")[2].startswith(verbs)


def test_the_methods_that_read_are_among_those_asked(tree: trees.Tree) -> None:
    """The list above is asked for, not written down: it must not be empty by accident."""
    tree.build(MANIFEST)
    tree.start().wait_ready()
    methods = tree.client().call("system.listMethods")
    assert {"supervisor.getAllConfigInfo", "supervisor.getAllProcessInfo", "bootseal.snapshot"} <= set(methods)
