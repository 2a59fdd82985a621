import json
import os
import signal
import sys

import pytest

from contract import exit_codes, rundir
from entrypoint import handover, phases
from manifest import plan
from tests.unit import boots, children

RUN = rundir.RunDirectory("/run/x")
SEEN = f"""#!{sys.executable} -IS
import json, os, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
environ = open("/proc/self/environ", "rb").read().decode().strip("\\0").split("\\0")
umask = os.umask(0)
print(json.dumps({{"argv": sys.argv[1:], "environ": environ, "blocked": int(status["SigBlk"], 16), "umask": umask}}))
"""


def loaded(prefix: str, environment: tuple[str, ...] = ()) -> plan.LoadedPlan:
    the_plan = boots.make_plan(prefix=prefix, boot=boots.boot_plan(environment=environment))
    return plan.LoadedPlan(the_plan, "/opt/box", boots.SHA256)


def interpreter(tmp_path, text: str, mode: int = 0o755) -> str:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(text)
    (tmp_path / "bin" / "python").chmod(mode)
    return str(tmp_path)


def test_only_allowed_and_declared_names_pass():
    inherited = {
        "PATH": "/bin", "HOME": "/root", "LC_ALL": "C", "LANG": "C", "TZ": "UTC", "DECLARED": "1", "SECRET": "hunter2",
        "LD_PRELOAD": "/x.so", "PYTHONPATH": "/x", "TMPDIR": "/somewhere", "BOOTSEAL_RUN_DIR": "/elsewhere", "lc_all": "x",
    }  # fmt: skip
    the_plan = boots.make_plan(boot=boots.boot_plan(environment=("DECLARED", "ABSENT")))
    assert handover.environment(inherited, the_plan, RUN) == {
        "PATH": "/bin", "HOME": "/root", "LC_ALL": "C", "LANG": "C", "TZ": "UTC", "DECLARED": "1",
        "TMPDIR": "/run/x/tmp", "BOOTSEAL_RUN_DIR": "/run/x",
    }  # fmt: skip


def test_what_a_secret_comes_from_does_not_pass_whatever_a_plan_declares():
    secrets = (boots.secret("a", "api", generate_bytes=None, variable="LC_A"), boots.secret("b", "api", variable="B"))
    the_plan = boots.make_plan(boot=boots.boot_plan(environment=("B",)), secrets=secrets)
    assert handover.environment({"LC_A": "x", "B": "y", "PATH": "/bin"}, the_plan, RUN) == {
        "PATH": "/bin", "TMPDIR": "/run/x/tmp", "BOOTSEAL_RUN_DIR": "/run/x",
    }  # fmt: skip


def test_there_is_always_a_path():
    assert handover.environment({}, boots.make_plan(), RUN)["PATH"].startswith("/usr/local/sbin:")


def test_the_interpreter_is_named_by_its_full_path_and_runs_isolated():
    assert handover.argv(loaded("/opt/bootseal")) == [
        "/opt/bootseal/bin/python", "-I", "-X", "utf8", "-m", "supervisord.pid1", "--nodaemon",
        "--configuration", "/opt/box/supervisord.conf",
    ]  # fmt: skip


def test_what_takes_over_has_the_argv_the_allowed_environment_and_stops_blocked(tmp_path):
    prefix = interpreter(tmp_path, SEEN)
    reader, writer = os.pipe()

    def work() -> None:
        os.dup2(writer, 1)
        os.environ.clear()
        os.environ.update({"SECRET": "hunter2", "DECLARED": "1", "PATH": "/bin"})
        os.umask(0o077)
        handover.become_supervisord(loaded(prefix, ("DECLARED",)), RUN)

    pid = children.start(work)
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        seen = json.loads(file.read())
    assert children.ended(pid) == 0
    assert sorted(seen["environ"]) == ["BOOTSEAL_RUN_DIR=/run/x", "DECLARED=1", "PATH=/bin", "TMPDIR=/run/x/tmp"]
    assert seen["argv"][-1] == "/opt/box/supervisord.conf"
    assert seen["umask"] == 0o022
    assert all(seen["blocked"] >> (number - 1) & 1 for number in exit_codes.STOP_SIGNALS)


def test_outside_a_namespace_it_adopts_orphans_also_after_the_exec(tmp_path):
    """An orphan of the process that took over is re-parented to it and to nobody above."""
    prefix = interpreter(
        tmp_path,
        f"#!{sys.executable} -IS\n"
        "import os, sys\n"
        "reader, writer = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        "        os.read(reader, 1)\n"  # until the parent is gone
        "        os._exit(7)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "os.write(writer, b'x')\n"
        "sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))\n",
    )

    def boot() -> None:
        handover.become_subreaper()
        handover.become_supervisord(loaded(prefix), RUN)

    assert children.run(boot) == 7


@pytest.mark.parametrize(
    ("text", "mode", "code"),
    [
        ("#!/bin/sh\n", 0o644, 126),
        ("no program", 0o755, 126),
        ("", 0o755, 126),
        ("#!/no/such/interpreter\n", 0o755, 127),
    ],
)
def test_what_cannot_be_executed_is_126_and_what_is_not_there_127(tmp_path, text, mode, code):
    prefix = interpreter(tmp_path, text, mode)

    def work() -> bool:
        try:
            handover.become_supervisord(loaded(prefix), RUN)
        except phases.CannotHandOver as error:
            return error.exit_code == code
        return False

    assert children.run(work) == 0


def test_a_missing_interpreter_is_127(tmp_path):
    def work() -> bool:
        try:
            handover.become_supervisord(loaded(str(tmp_path)), RUN)
        except phases.CannotHandOver as error:
            return error.exit_code == 127 and f"{tmp_path}/bin/python" in str(error)
        return False

    assert children.run(work) == 0


def test_a_stop_that_came_before_the_exec_is_pending_after_it(tmp_path):
    prefix = interpreter(
        tmp_path,
        f"#!{sys.executable} -IS\nimport signal, sys\nsys.exit(10 if signal.SIGTERM in signal.sigpending() else 11)\n",
    )

    def work() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, exit_codes.STOP_SIGNALS)
        os.kill(os.getpid(), signal.SIGTERM)
        handover.become_supervisord(loaded(prefix), RUN)

    assert children.run(work) == 10
