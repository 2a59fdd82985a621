import os
import pathlib
import resource
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Mapping

import pytest

from artifacts import command, orphans
from contract import prctl, process
from manifest import provisions
from tests.unit import children

PATH = "/usr/local/bin:/usr/bin:/bin"
LONG = 60.0
AS_ROOT = os.geteuid() == 0


def run(
    *argv: str,
    seconds: float = LONG,
    environment: Mapping[str, str] | None = None,
    directory: str = "/",
    user: provisions.User | None = None,
) -> command.Ended:
    return command.run(argv, directory, seconds, {"PATH": PATH} if environment is None else environment, user)


def shell(script: str, **more: object) -> command.Ended:
    return run("/bin/sh", "-c", script, **more)  # type: ignore[arg-type]


def children_of_ours() -> set[int]:
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                if int(file.read().rpartition(")")[2].split()[1]) == os.getpid():
                    found.add(int(name))
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def _nothing_is_left() -> object:
    """Every test leaves no child, zombies counted, and no descriptor."""
    before = children_of_ours(), len(os.listdir("/proc/self/fd"))
    yield
    assert (children_of_ours(), len(os.listdir("/proc/self/fd"))) == before


@pytest.fixture
def shared(tmp_path: object) -> str:
    """A directory that every user may write to."""
    os.chmod(str(tmp_path), 0o777)
    return str(tmp_path)


def is_gone(pid: int, start: int | None) -> bool:
    """Wait until a process that is not ours to reap is dead."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if process.start_time(pid) != start:
            return True
        import select

        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return bool(poller.poll(30_000))
    finally:
        os.close(fd)


def pid_in(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())


def test_a_command_that_exits_0_is_ok_and_its_output_is_told():
    assert shell("echo out; echo err >&2") == command.Ended(ok=True, why="", output="out\nerr")


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("/bin/sh", "-c", "exit 7"), "/bin/sh exited with code 7"),
        (("/bin/sh", "-c", "kill -SEGV $$"), "/bin/sh was killed by signal 11 (Segmentation fault)"),
        (("/bin/sh", "-c", "exit 127"), "/bin/sh exited with code 127"),
        (("no-such-command",), f"no-such-command is not on PATH {PATH}"),
        (("/no/such/command",), "/no/such/command does not exist"),
        (("/etc",), "/etc is not executable by uid 65534"),
        ((), "there is no command"),
        (("",), "there is no command"),
        (("/bin/echo", "a\0b"), "/bin/echo cannot be executed: Invalid argument"),
    ],
)
def test_every_failure_is_said_in_its_own_words(argv: tuple[str, ...], why: str):
    if not AS_ROOT:
        why = why.replace("65534", str(os.geteuid()))
    assert run(*argv) == command.Ended(ok=False, why=why, output="")


def test_a_script_whose_interpreter_is_gone_and_a_file_that_is_no_program_are_told_apart(shared: str):
    for name, text, why in (
        ("orphan", "#!/no/such/interpreter\n", "has an interpreter that does not exist"),
        ("noise", "no program\n", "cannot be executed: Exec format error"),
    ):
        with open(f"{shared}/{name}", "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(file.name, 0o755)
        assert run(file.name).why == f"{file.name} {why}"


def test_a_directory_that_is_not_there_or_closed_is_named(shared: str):
    assert run("true", directory="/no/such").why == "true cannot run in /no/such: No such file or directory"
    os.mkdir(f"{shared}/closed", 0)
    os.chmod(shared, 0o755)
    done = children.run_as_nobody(
        lambda: (
            run("true", directory=f"{shared}/closed").why == f"true cannot run in {shared}/closed: Permission denied"
        )
    )
    assert done == 0


def test_it_runs_where_and_with_exactly_the_environment_that_is_given(monkeypatch: pytest.MonkeyPatch, shared: str):
    monkeypatch.setenv("LEAK", "hunter2")
    ended = run("/usr/bin/env", environment={"ONE": "1", "TWO": "zwei"})
    assert sorted(ended.output.splitlines()) == ["ONE=1", "TWO=zwei"]
    assert run("/bin/pwd", directory=shared).output == shared


def test_nothing_is_looked_up_in_the_directory_it_runs_in(shared: str):
    with open(f"{shared}/planted", "w", encoding="ascii") as file:
        file.write("#!/bin/sh\necho planted\n")
    os.chmod(file.name, 0o755)
    for path in ("", ".", ":/bin", "bin:.:"):
        assert not run("planted", directory=shared, environment={"PATH": path}).ok
    assert run("planted", environment={"PATH": f"/no/such:{shared}"}).output == "planted"


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
def test_as_root_it_runs_as_nobody_or_as_the_user_given_without_groups_or_capabilities():
    question = "id -u; id -g; id -G; grep -E '^(CapEff|CapPrm|NoNewPrivs|Groups):' /proc/self/status | tr -d '\\t '"
    nothing = ["CapPrm:0000000000000000", "CapEff:0000000000000000", "NoNewPrivs:1"]
    said = shell(question).output.splitlines()
    assert said[:3] == ["65534", "65534", "65534"]
    assert said[3:] == ["Groups:", *nothing]
    said = shell(question, user=provisions.User(1234, 4321)).output.splitlines()
    assert said[:3] == ["1234", "4321", "4321"]


@pytest.mark.skipif(not AS_ROOT, reason="only root can have, and lose, groups")
def test_as_root_no_further_group_of_ours_is_left_to_it():
    def work() -> bool:
        os.setgroups([0, 4, 27])
        return shell("grep Groups: /proc/self/status | tr -d '\\t '").output == "Groups:"

    assert children.run(work) == 0


def test_without_root_it_runs_as_ourselves_without_new_rights_and_is_refused_as_another():
    def work() -> bool:
        own = provisions.User(os.getuid(), os.getgid())
        ended = shell("id -u; grep NoNewPrivs: /proc/self/status | tr -d '\\t'")
        other = run("/usr/bin/id", user=provisions.User(1234, 1234))
        return (
            ended.output.splitlines() == [str(own.uid), "NoNewPrivs:1"]
            and run("/usr/bin/id", user=own).ok
            and other.why == f"/usr/bin/id: it is to run as 1234:1234, and this process is {own.uid}:{own.gid}"
        )

    assert children.run_as_nobody(work) == 0


@pytest.mark.skipif(not AS_ROOT, reason="only root can lose the right to become another user")
def test_root_that_cannot_give_its_rights_up_executes_nothing(shared: str):
    def work() -> bool:
        import ctypes

        for capability in range(64):
            ctypes.CDLL(None).prctl(
                24, capability, 0, 0, 0
            )  # PR_CAPBSET_DROP: the permitted set goes with the exec below
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        none = (ctypes.c_uint32 * 6)()
        assert ctypes.CDLL(None).capset(header, none) == 0
        ended = shell(f"touch {shared}/ran")
        return ended.why == "/bin/sh cannot run as 65534:65534: Operation not permitted"

    assert children.run(work) == 0
    assert os.listdir(shared) == []


def test_it_reads_nothing_of_what_we_could_read(shared: str):
    with open(f"{shared}/input", "w+", encoding="ascii") as file:
        file.write("for us alone")
        file.seek(0)
        standard = os.dup(0)
        os.dup2(file.fileno(), 0)
        try:
            ended = run("/bin/cat")
        finally:
            os.dup2(standard, 0)
            os.close(standard)
    assert ended == command.Ended(ok=True, why="", output="")


def test_it_inherits_no_descriptor_of_ours():
    reading, writing = os.pipe()
    try:
        os.set_inheritable(reading, True)
        os.set_inheritable(writing, True)
        ended = shell(
            "ls -l /proc/self/fd | grep -c -e pipe: -e socket: ; for n in 3 4 5 6 7 8 9; do readlink /proc/$$/fd/$n; done"
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert ended.output == "2"  # stdout and stderr


def test_it_has_default_signals_and_none_blocked():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ended = shell("grep -E '^Sig(Blk|Ign):' /proc/self/status | tr -d '\\t'")
    finally:
        signal.signal(signal.SIGHUP, ignored)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    glibcs_own = (
        1 << 31 | 1 << 32
    )  # signals 32 and 33: whoever started this may have them ignored, and nobody can change that
    seen = dict(line.split(":") for line in ended.output.splitlines())
    assert {name: int(mask, 16) & ~glibcs_own for name, mask in seen.items()} == {"SigBlk": 0, "SigIgn": 0}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_the_timeout_kills_the_whole_group(shared: str):
    """The grandchild ignores SIGTERM and holds the pipe open."""
    script = f"trap '' TERM HUP; (trap '' TERM HUP; exec sleep 600) & echo $! > {shared}/grandchild; echo waits; wait"
    ended = shell(script, seconds=0.5)
    assert ended == command.Ended(ok=False, why="/bin/sh did not end within 0.5 s", output="waits")
    pid = pid_in(f"{shared}/grandchild")
    assert is_gone(pid, process.start_time(pid))


def test_a_grandchild_that_holds_the_output_open_holds_nobody_up_and_is_killed(shared: str):
    ended = shell(f"sleep 600 & echo $! > {shared}/grandchild; echo done")
    assert (ended.ok, ended.output) == (True, "done")
    pid = pid_in(f"{shared}/grandchild")
    assert is_gone(pid, process.start_time(pid))


def test_who_left_the_group_and_floods_the_pipe_holds_nobody_up(shared: str):
    script = f"setsid sh -c 'echo $$ > {shared}/deserter; exec yes' & until test -s {shared}/deserter; do :; done"
    try:
        assert shell(script).ok
    finally:
        os.kill(pid_in(f"{shared}/deserter"), signal.SIGKILL)


def test_of_a_flood_the_end_is_kept_and_it_cannot_block():
    ended = shell("yes 0123456789 | head -c 20000000; echo; echo the end")
    assert ended.ok
    assert ended.output.endswith("the end")
    assert 3000 < len(ended.output) <= 4096


def test_a_flood_is_not_kept_in_memory():
    import tracemalloc

    tracemalloc.start()
    try:
        assert shell("head -c 20000000 /dev/zero").ok
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_whoever_closed_its_output_is_waited_for_without_work():
    before = time.process_time()
    assert shell("exec >&- 2>&-; sleep 0.5").ok
    assert time.process_time() - before < 0.25


def test_an_endless_flood_ends_at_the_timeout_and_does_not_starve_the_other():
    flood = command.Command(("/usr/bin/yes",), "/", 0.5, {})
    quiet = command.Command(("/bin/echo", "heard"), "/", LONG, {})
    first, second = command.run_all((flood, quiet))
    assert first.why == "/usr/bin/yes did not end within 0.5 s"
    assert second == command.Ended(ok=True, why="", output="heard")


def test_output_that_is_no_text_and_output_that_is_closed_are_no_trouble():
    assert shell("printf '\\377\\376ok'").output.endswith("ok")
    assert shell("exec >&- 2>&-; exit 3") == command.Ended(ok=False, why="/bin/sh exited with code 3", output="")


def test_a_secret_of_its_environment_is_not_in_its_output():
    secret = "correct-horse-battery-staple"
    ended = shell('echo "key is $API_KEY"; exit 1', environment={"API_KEY": secret, "PATH": PATH})
    assert (ended.why, ended.output) == ("/bin/sh exited with code 1", "key is ***")


def test_a_secret_that_is_cut_in_two_where_the_output_is_cut_is_not_shown_either():
    """Whatever the cut falls on, no six characters of the secret are told."""
    secret = "abcdefghijklmnopqrstuvwxyz" * 4
    for length in range(3980, 4240, 7):
        ended = run(
            "/usr/bin/python3", "-c", f"import os; print(os.environ['API_KEY'] * 2 + '.' * {length}, end='')",
            environment={"API_KEY": secret},
        )  # fmt: skip
        pieces = [secret[start : start + 6] for start in range(len(secret) - 6)]
        assert ended.ok
        assert not any(piece in ended.output for piece in pieces)


def test_what_is_left_of_a_secret_at_the_cut_is_not_shown_before_what_is_hidden():
    secret = "".join(f"{number:05d}" for number in range(1200))
    for length in range(4096, 4113):
        ended = run(
            "/usr/bin/python3", "-c", f"import os; key = os.environ['API_KEY']; print(key + key[:{length}], end='')",
            environment={"API_KEY": secret},
        )  # fmt: skip
        assert ended.ok
        assert set(ended.output) <= {"*"}


def test_several_run_at_the_same_time_and_answer_in_their_order(shared: str):
    """Each of two waits until the other runs; a third is started when there is room."""
    for name in "ab":
        os.mkfifo(f"{shared}/{name}")
        os.chmod(f"{shared}/{name}", 0o666)
    commands = [
        command.Command(
            ("/bin/sh", "-c", f"echo 1 > {shared}/a; cat {shared}/b; echo first"), "/", LONG, {"PATH": PATH}
        ),
        command.Command(
            ("/bin/sh", "-c", f"cat {shared}/a; echo 2 > {shared}/b; echo second"), "/", LONG, {"PATH": PATH}
        ),
        command.Command(("no-such-command",), "/", LONG, {"PATH": PATH}),
        command.Command(("/bin/echo", "third"), "/", LONG, {}),
    ]
    ended = command.run_all(commands)
    assert [one.output for one in ended] == ["2\nfirst", "1\nsecond", "", "third"]
    assert [one.ok for one in ended] == [True, True, False, True]
    assert command.run_all(()) == ()


def test_no_more_run_at_once_than_may(shared: str):
    script = f"ls {shared} | wc -l; touch {shared}/$$; sleep 0.05; ls {shared} | wc -l; rm {shared}/$$"
    one = command.Command(("/bin/sh", "-c", script), "/", LONG, {"PATH": PATH})
    ended = command.run_all([one] * 8, at_once=2)
    seen = [int(line) for each in ended for line in each.output.split()]
    assert max(seen) <= 2


class _Interruption(BaseException):
    pass


def test_an_interruption_kills_and_reaps_every_command(shared: str):
    """As Stage A's stop signal does: an exception out of a handler, in the middle of waiting."""

    def interrupt(_number: int, _frame: object) -> None:
        raise _Interruption

    before = signal.signal(signal.SIGUSR1, interrupt)
    fifo = f"{shared}/both"
    os.mkfifo(fifo)
    os.chmod(fifo, 0o666)
    scripts = (
        f"echo $$ > {shared}/a; echo > {fifo}; exec sleep 600",
        f"echo $$ > {shared}/b; read x < {fifo}; exec sleep 600",
    )
    sender = children.start(lambda: _signal_when_there(f"{shared}/a", f"{shared}/b", os.getppid()))
    try:
        with pytest.raises(_Interruption):
            command.run_all(command.Command(("/bin/sh", "-c", one), "/", LONG, {"PATH": PATH}) for one in scripts)
    finally:
        signal.signal(signal.SIGUSR1, before)
        assert children.ended(sender) == 0
    for name in "ab":
        pid = pid_in(f"{shared}/{name}")
        assert process.start_time(pid) is None


def _signal_when_there(first: str, second: str, pid: int) -> bool:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if all(os.path.exists(path) and os.stat(path).st_size for path in (first, second)):
            os.kill(pid, signal.SIGUSR1)
            return True
        time.sleep(0.005)
    return False


def test_it_dies_with_whoever_waits_for_it(shared: str):
    def work() -> bool:
        return shell(f"echo $$ > {shared}/pid.part; mv {shared}/pid.part {shared}/pid; exec sleep 600").ok

    waiting = children.start(work)
    until = time.monotonic() + 30
    while not os.path.exists(f"{shared}/pid") and time.monotonic() < until:
        time.sleep(0.005)
    pid = pid_in(f"{shared}/pid")
    start = process.start_time(pid)
    os.kill(waiting, signal.SIGKILL)
    assert children.ended(waiting) == -signal.SIGKILL
    assert is_gone(pid, start)


def test_it_may_be_called_from_another_thread():
    ended: list[command.Ended] = []
    thread = threading.Thread(target=lambda: ended.append(shell("echo $0 done")))
    thread.start()
    thread.join()
    assert [one.output for one in ended] == ["/bin/sh done"]


def test_what_another_thread_raises_in_this_one_kills_and_reaps_too(shared: str):
    """So does Stage A stop what it runs confined, in a thread."""
    import ctypes

    ended: list[object] = []

    def work() -> None:
        try:
            ended.append(
                shell(f"echo $$ > {shared}/part; mv {shared}/part {shared}/pid; exec sleep 600", seconds=600.0)
            )
        except _Interruption as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not os.path.exists(f"{shared}/pid") and thread.is_alive():
        time.sleep(0.005)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Interruption))
    thread.join(30)
    assert [type(one) for one in ended] == [_Interruption]
    assert process.start_time(pid_in(f"{shared}/pid")) is None


SUBREAPER = 36
DAEMON = "setsid sh -c 'echo $$ > {0}/part; sleep 600 & mv {0}/part {0}/pid; wait' </dev/null >/dev/null 2>&1 &"
"""A process that left its command's group, with a child of its own."""
UNTIL_IT_RUNS = "until test -e {0}/pid; do sleep 0.01; done; "


def leaves_no_child_but(spared: int, work: Callable[[], object]) -> bool:
    """Return whether a subreaper, as Stage A is, has only the child ``spared`` after ``work``."""
    assert prctl.call(SUBREAPER, 1) == 0
    work()
    left = children_of_ours()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left == {spared}


@pytest.mark.parametrize("then", ["exit 0", "sleep 600"])
def test_what_a_command_daemonized_is_killed_and_reaped_and_our_own_children_are_not(shared: str, then: str):
    script = DAEMON.format(shared) + UNTIL_IT_RUNS.format(shared) + then

    def work() -> bool:
        own = children.start(lambda: time.sleep(20))
        return leaves_no_child_but(own, lambda: shell(script, seconds=LONG if then == "exit 0" else 2.0))

    assert children.run(work) == 0
    assert process.start_time(pid_in(f"{shared}/pid")) is None


def test_what_a_command_daemonized_is_killed_when_it_is_interrupted(shared: str):
    script = DAEMON.format(shared) + UNTIL_IT_RUNS.format(shared) + f"echo > {shared}/fifo; sleep 600"
    os.mkfifo(f"{shared}/fifo")
    os.chmod(f"{shared}/fifo", 0o666)

    def interrupted() -> None:
        def interrupt(_number: int, _frame: object) -> None:
            raise _Interruption

        signal.signal(signal.SIGUSR1, interrupt)
        with pytest.raises(_Interruption):
            shell(script, seconds=600.0)

    def work() -> bool:
        waiter = children.start(
            lambda: pathlib.Path(shared, "fifo").read_text() and os.kill(os.getppid(), signal.SIGUSR1)
        )
        return leaves_no_child_but(waiter, interrupted)

    assert children.run(work) == 0
    assert process.start_time(pid_in(f"{shared}/pid")) is None


def test_an_interruption_while_orphans_are_killed_leaves_none(monkeypatch: pytest.MonkeyPatch, shared: str):
    looked = orphans.children
    looks: list[int] = []

    def interrupted() -> frozenset[int]:
        looks.append(1)
        if len(looks) == 3:
            raise _Interruption
        return looked()

    def work() -> None:
        monkeypatch.setattr(orphans, "children", interrupted)
        with pytest.raises(_Interruption):
            shell(DAEMON.format(shared) + UNTIL_IT_RUNS.format(shared))

    assert children.run(lambda: leaves_no_child_but(0, work) or not children_of_ours()) == 0
    assert process.start_time(pid_in(f"{shared}/pid")) is None


def test_what_cannot_be_killed_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(orphans, "_SECONDS", 0.05)

    def work() -> bool:
        pid = children.start(lambda: time.sleep(20))
        with monkeypatch.context() as broken:
            broken.setattr(os, "kill", lambda _pid, _number: None)
            assert not orphans.end(frozenset())
        assert orphans.end(frozenset())
        return process.start_time(pid) is None

    assert children.run(work) == 0


def test_values_that_are_to_be_hidden_are_not_in_its_output():
    one = command.Command(("/bin/echo", "it is hunter-zwei"), "/", LONG, {}, hide=("hunter-zwei",))
    assert command.run_all((one,))[0].output == "it is ***"


def test_a_kernel_without_pidfds_is_only_slower(monkeypatch: pytest.MonkeyPatch):
    def refuse(_pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert shell("sleep 600 & echo seen") == command.Ended(ok=True, why="", output="seen")
    assert shell("sleep 600", seconds=0.2).why == "/bin/sh did not end within 0.2 s"


def test_a_child_that_somebody_else_reaped_has_not_passed():
    """With SIGCHLD ignored the kernel reaps (wait(2)): how it ended is not to be learned."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        ended = shell("exit 0")
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert (ended.ok, ended.why) == (False, "/bin/sh ended, and how was not to be learned")


@pytest.mark.parametrize("exhausted", [resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC])
def test_what_cannot_be_started_is_a_refusal(exhausted: int):
    def work() -> bool:
        limit = 0 if exhausted == resource.RLIMIT_NPROC else 3
        resource.setrlimit(exhausted, (limit, limit))
        why = run("/bin/true").why
        return why.startswith("/bin/true cannot be started: ")

    assert children.run_as_nobody(work) == 0


def test_a_program_that_is_set_user_id_gains_nothing(shared: str):
    import shutil

    if not AS_ROOT:
        pytest.skip("only root can make a set-user-id program of root's")
    shutil.copy("/usr/bin/id", f"{shared}/id")
    os.chmod(f"{shared}/id", 0o4755)
    assert stat.S_IMODE(os.stat(f"{shared}/id").st_mode) == 0o4755
    assert run(f"{shared}/id", "-u").output == "65534"


def test_a_socket_to_talk_over_is_not_left_to_it():
    one, other = socket.socketpair()
    with one, other:
        one.set_inheritable(True)
        assert shell("ls -l /proc/$$/fd | grep -c socket").output == "0"
