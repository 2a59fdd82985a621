"""Not dumpable: asked of the kernel, in children of ours."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from contract import dumpable, errors, prctl
from tests.unit import children

HIDDEN = ("environ", "mem", "maps", "fd/0", "cwd", "auxv")


def as_nobody(work: Callable[[], object]) -> int:
    """Run ``work`` in a child of an ordinary user; the change of user alone had made it not dumpable."""
    return children.run_as_nobody(lambda: prctl.call(prctl.SET_DUMPABLE, 1) == 0 and work())


def opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        return False
    return True


def seen_of(pid: int) -> list[str]:
    """Return what of ``HIDDEN`` this process can open or read of ``pid``."""
    return [
        name
        for name in HIDDEN
        if (os.access(f"/proc/{pid}/{name}", os.R_OK) if "/" in name or name == "cwd" else opens(f"/proc/{pid}/{name}"))
    ]


def between(target: Callable[[], object], look: Callable[[int], bool]) -> bool:
    """Fork ``target``, which closes the pipe when it is prepared, and return what ``look`` says of it."""
    reader, writer = os.pipe()

    def prepared() -> object:
        os.close(reader)
        target()
        os.close(writer)
        signal.pause()
        return True

    pid = children.start(prepared)
    os.close(writer)
    os.read(reader, 1)
    try:
        return look(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)


def test_another_process_of_the_same_user_cannot_look_into_it():
    assert as_nobody(lambda: between(dumpable.forbid, lambda pid: seen_of(pid) == [])) == 0


def test_the_test_above_sees_what_an_ordinary_process_shows():
    assert (
        as_nobody(lambda: between(lambda: None, lambda pid: "environ" in seen_of(pid) and "mem" in seen_of(pid))) == 0
    )


def test_it_still_sees_itself_as_far_as_we_need():
    def work() -> bool:
        dumpable.forbid()
        fd = os.open("/", os.O_RDONLY)
        return (
            os.readlink(f"/proc/self/fd/{fd}") == "/"
            and str(fd) in os.listdir("/proc/self/fd")
            and os.access(f"/proc/self/fd/{fd}", os.R_OK)
            and all(
                opens(f"/proc/self/{name}") for name in ("mountinfo", "status", "stat", f"task/{os.getpid()}/children")
            )
        )

    assert as_nobody(work) == 0


def test_a_forked_child_is_not_dumpable_either_and_a_program_is_again_once_it_is_executed():
    def work() -> bool:
        dumpable.forbid()
        forked = between(lambda: None, lambda pid: seen_of(pid) == [])
        script = "import os; os.close(os.open('/proc/self/environ', os.O_RDONLY))"  # root's, where it is not dumpable
        executed = subprocess.run([sys.executable, "-I", "-S", "-c", script], check=False).returncode == 0
        return forked and executed

    assert as_nobody(work) == 0


def test_a_kernel_that_refuses_is_an_error_and_not_overlooked(monkeypatch):
    monkeypatch.setattr(prctl, "call", lambda option, _value: -1 if option == prctl.SET_DUMPABLE else 1)
    with pytest.raises(errors.BootsealError, match="kernel refuses"):
        dumpable.forbid()
    monkeypatch.setattr(prctl, "call", lambda option, _value: int(option == prctl.GET_DUMPABLE))
    with pytest.raises(errors.BootsealError, match="kernel refuses"):
        dumpable.forbid()


def test_prctl_answers_as_the_kernel_does():
    def work() -> bool:
        assert prctl.call(prctl.SET_DUMPABLE, 1) == 0
        assert prctl.call(prctl.GET_DUMPABLE, 0) == 1
        assert prctl.call(prctl.SET_DUMPABLE, 77) == -1
        assert prctl.call(prctl.SET_NO_NEW_PRIVS, 1) == 0
        with open("/proc/self/status", encoding="ascii") as file:
            return "NoNewPrivs:\t1" in file.read()

    assert children.run(work) == 0
