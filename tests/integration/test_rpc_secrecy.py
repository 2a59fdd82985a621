"""What a program alone is given, nobody reads elsewhere: not over RPC, not in a log, not in a file, not in another process."""

import os
from pathlib import Path

import tree as trees

from contract import errors
from supervisord import credentials

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
    assert {
        "supervisor.getAllConfigInfo",
        "supervisor.getAllProcessInfo",
        "bootseal.snapshot",
        "bootseal.output",
    } <= set(methods)


def test_a_secret_that_a_program_prints_is_in_no_rpc_answer_wherever_its_line_is_cut(tree: trees.Tree) -> None:
    """In the container's output it stands: what a program prints itself is its own."""
    say = 'echo "key=$API_KEY."; printf "%16374s%s tail\\n" x "$API_KEY"; echo "$API_KEY" | fold -w 11; printf %s "$API_KEY"'
    talker = {
        "command": ["sh", "-c", f"{say}; {{ {say}; }} >&2; exec sleep 1000"],
        "ready": {"running": True, "for": "0s"},
    }
    secret = {"generate": 32, "env": "API_KEY", "programs": ["talker"]}
    tree.build({"secrets": {"api-key": secret}, "logs": "json", "programs": {"talker": talker}})
    tree.start().wait_ready()
    value = Path(credentials.values_directory(tree.run), "api-key").read_bytes().decode()
    calls = tree.client()

    def has_spoken() -> bool:
        streams = [line.stream for line in calls.output(0, 100, ("talker",)).lines]
        return streams.count("stderr") == streams.count("stdout") > 5

    trees.wait_until(has_spoken, "it spoke")
    assert tree.stdout().count(value) >= 1
    windows = {value[at : at + 8] for at in range(len(value) - 7)}
    for method in calls.call("system.listMethods"):
        if not method.startswith(("system.", "bootseal.fail")) and not _changes_something(method):
            for arguments in (
                (),
                ("talker",),
                ("talker", 0, 10_000),
                (0, 10_000),
                ("0", "1000", ["talker"]),
                ("-1", "5"),
            ):
                try:
                    answer = repr(calls.call(method, *arguments))
                except errors.BootsealError as error:
                    answer = str(error)
                assert not [window for window in windows if window in answer], (method, arguments)
    lines = calls.output(0, 100, ("talker",)).lines
    joined = "".join(line.message for line in lines)
    assert not [window for window in windows if window in joined]
    assert [line.message for line in lines if line.message.startswith("key=")] == ["key=***."] * 2
    assert any(line.partial for line in lines)
    kept = calls.snapshot().program("talker")
    assert kept is not None
    assert kept.last_output
    assert not [window for window in windows if window in "".join(kept.last_output)]
