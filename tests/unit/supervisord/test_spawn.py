"""Between fork and exec, with supervisor's own options object and real processes."""

import ctypes
import json
import os
import signal
import sys

import pytest
from supervisor import options as supervisor_options

from contract import exit_codes
from manifest import plan
from supervisord import evidence, spawn
from tests.unit import boots, children

SEEN = 'import json, os, sys; print(json.dumps({"argv": sys.argv[1:], "environment": dict(os.environ)}))'
NOTHING = evidence.Passing({}, {})


def install(options, the_plan, on_fork=lambda _pid: None, *, passing=NOTHING, dies_with_us=False) -> None:
    """Wrap ``options`` so that every child gets ``passing``."""
    spawn.install(options, the_plan, lambda: passing, on_fork, dies_with_us=dies_with_us)


PYTHON_IGNORES = {signal.SIGPIPE, signal.SIGXFSZ}


def run_child(
    program, env: dict[str, str], *, dies_with_us: bool = False, before=lambda: None, passing=NOTHING
) -> tuple[bytes, int, list]:
    """Spawn as supervisord does, in a child of ours, and return what the program wrote, its code and the pids told."""
    reader, writer = os.pipe()
    told: list[int] = []
    options = supervisor_options.ServerOptions()
    install(options, boots.make_plan(program), told.append, passing=passing, dies_with_us=dies_with_us)
    pid = options.fork()
    if pid == 0:
        try:
            before()
            os.dup2(writer, 1)
            options.execve(sys.executable, ["the conf's argv"], env)
        finally:
            os._exit(99)
    os.close(writer)
    with open(reader, "rb") as file:
        text = file.read()
    return text, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), [told, pid]


def bits(mask: int) -> set[int]:
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", SEEN, *arguments)


@pytest.fixture
def handlers():
    """Python handlers for what supervisord handles, as in PID 1, undone after the test."""
    numbers = (*exit_codes.STOP_SIGNALS, signal.SIGCHLD, signal.SIGUSR2)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_program_starts_with_default_dispositions_and_an_empty_mask(handlers):
    program = boots.program("api", argv=("/bin/cat", "/proc/self/status"))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    reader, writer = os.pipe()
    options = supervisor_options.ServerOptions()
    try:
        install(options, boots.make_plan(program))
        pid = options.fork()
        if pid == 0:
            try:
                os.dup2(writer, 1)
                options.execve("/bin/cat", [], {"SUPERVISOR_PROCESS_NAME": "api"})
            finally:
                os._exit(99)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(writer)
    with open(reader, encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file.read().splitlines())
    assert os.waitpid(pid, 0)[1] == 0
    assert int(status["SigBlk"], 16) == 0
    assert bits(int(status["SigIgn"], 16)) & {*PYTHON_IGNORES, *exit_codes.STOP_SIGNALS, signal.SIGCHLD} == set()


def test_the_parents_mask_is_as_before_and_it_learns_the_pid(handlers):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    _, code, (told, pid) = run_child(boots.program("api", argv=("/bin/true",)), {"SUPERVISOR_PROCESS_NAME": "api"})
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert (code, told) == (0, [pid])


def test_a_fork_that_fails_leaves_the_mask_as_before(monkeypatch):
    options = supervisor_options.ServerOptions()

    def fail() -> int:
        raise OSError(11, "no more processes")

    options.fork = fail
    told: list[int] = []
    install(options, boots.make_plan(), told.append)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(OSError, match="no more processes"):
        options.fork()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert told == [-1], "on purpose: what was made for the child must be taken back"


def test_a_stop_signal_between_fork_and_exec_ends_the_child_and_is_not_lost(handlers):
    """The handler that supervisord installed would take it in the child, and nothing would come of it."""
    program = boots.program("api", argv=("/bin/sleep", "60"))

    def hit() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    _, code, _ = run_child(program, {"SUPERVISOR_PROCESS_NAME": "api"}, before=hit)
    assert code == -signal.SIGTERM


def test_a_stop_signal_that_comes_at_the_fork_itself_is_delivered(handlers):
    options = supervisor_options.ServerOptions()
    original = options.fork

    def fork() -> int:
        pid = original()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGTERM)  # before anything of ours ran in the child
        return pid

    options.fork = fork
    install(options, boots.make_plan())
    pid = options.fork()
    if pid == 0:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM


def test_argv_and_environment_come_from_the_plan_and_not_from_the_configuration():
    program = boots.program("api", argv=python("--port", "80"), environment={"KEY": "from the plan", "LANG": "xx"})
    inherited = {
        "SUPERVISOR_PROCESS_NAME": "api", "SUPERVISOR_GROUP_NAME": "api", "LANG": "C", "PATH": "/bin",
        "TMPDIR": "/run/bootseal/tmp", "SUPERVISOR_SERVER_URL": "unix:///x", "SUPERVISOR_ENABLED": "1",
    }  # fmt: skip
    text, code, _ = run_child(program, inherited)
    seen = json.loads(text)
    assert code == 0
    assert seen["argv"] == ["--port", "80"]
    seen["environment"].pop("LC_CTYPE", None)
    assert seen["environment"] == {
        "SUPERVISOR_PROCESS_NAME": "api", "SUPERVISOR_GROUP_NAME": "api", "LANG": "xx", "PATH": "/bin",
        "KEY": "from the plan",
    }  # fmt: skip


def test_no_program_sees_another_programs_environment():
    a, b = boots.program("a", environment={"SECRET": "1"}), boots.program("b")
    inherited = {"PATH": "/bin"}
    assert spawn.environment(a, inherited) == {"PATH": "/bin", "SECRET": "1"}
    assert spawn.environment(b, inherited) == {"PATH": "/bin"}
    assert inherited == {"PATH": "/bin"}


def test_a_process_that_is_none_of_the_plans_is_executed_as_supervisor_wanted():
    calls: list[tuple] = []
    options = supervisor_options.ServerOptions()
    options.execve = lambda *arguments: calls.append(arguments)
    install(options, boots.make_plan())
    options.execve("/bin/x", ["x", "1"], {"SUPERVISOR_PROCESS_NAME": "stranger"})
    options.execve("/bin/x", ["x", "2"], {})
    assert calls == [("/bin/x", ["x", "1"], {"SUPERVISOR_PROCESS_NAME": "stranger"}), ("/bin/x", ["x", "2"], {})]


def test_outside_a_container_a_program_dies_with_supervisord():
    """A middle process spawns a sleeper and is killed; the sleeper, ours to reap by then, must have died of SIGKILL."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        options = supervisor_options.ServerOptions()
        install(options, boots.make_plan(boots.program("api", argv=("/bin/sleep", "60"))), dies_with_us=True)
        pid = options.fork()
        if pid == 0:
            os.set_inheritable(writer, True)
            options.execve("/bin/sleep", [], {"SUPERVISOR_PROCESS_NAME": "api"})
        os.write(writer, b"%d\n" % pid)
        signal.pause()
    sleeper = 0
    try:
        sleeper = int(os.read(reader, 100))
        with open(f"/proc/{sleeper}/comm", encoding="ascii") as comm:
            while "sleep" not in comm.read():
                comm.seek(0)
        os.kill(middle, signal.SIGKILL)
        os.waitpid(middle, 0)
        assert os.waitstatus_to_exitcode(os.waitpid(sleeper, 0)[1]) == -signal.SIGKILL
    finally:
        libc.prctl(36, 0, 0, 0, 0)
        os.close(reader)
        os.close(writer)


def test_a_program_whose_supervisord_died_before_it_could_ask_to_die_with_it_ends_too():
    assert children.run(lambda: spawn._prepare_child(lambda *_: 0, parent=-1)) == 137


def test_an_exception_in_the_child_ends_the_child_and_never_returns_into_supervisord():
    options = supervisor_options.ServerOptions()
    install(options, boots.make_plan())
    real, parent = signal.set_wakeup_fd, os.getpid()

    def broken(fd):
        if os.getpid() != parent:
            raise ValueError("broken")
        return real(fd)

    signal.set_wakeup_fd = broken
    try:
        pid = options.fork()
        if pid == 0:
            os._exit(0)
    finally:
        signal.set_wakeup_fd = real
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == exit_codes.NOT_FOUND


LISTING = "import json, os; print(json.dumps([os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if int(n) > 2 and os.path.exists(f'/proc/self/fd/{n}')]))"


def run_as_supervisord(program, passing: evidence.Passing = NOTHING) -> tuple[bytes, int]:
    """Spawn as ``Subprocess._spawn_as_child`` of supervisor 4.3.0 does: pipes to 0 to 2, then close 3 to minfds, then exec."""
    reader, writer = os.pipe()
    options = supervisor_options.ServerOptions()
    options.minfds = 1024
    install(options, boots.make_plan(program), passing=passing)
    pid = options.fork()
    if pid == 0:
        try:
            options.dup2(writer, 1)
            for fd in range(3, options.minfds):
                options.close_fd(fd)
            options.execve(program.argv[0], [], {"SUPERVISOR_PROCESS_NAME": program.name})
        finally:
            os._exit(99)
    os.close(writer)
    with open(reader, "rb") as file:
        text = file.read()
    assert options.minfds == 1024, "only the child's copy is changed"
    return text, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_program_inherits_no_descriptor_of_supervisord():
    leaked = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    high = os.dup2(leaked, 700)
    try:
        program = boots.program("api", argv=(sys.executable, "-I", "-S", "-c", LISTING))
        text, code = run_as_supervisord(program)
    finally:
        os.close(leaked)
        os.close(high)
    assert (code, json.loads(text)) == (0, [])


@pytest.mark.parametrize("number", [3, 4, 42, 99])
def test_a_descriptor_that_a_program_is_to_have_is_at_its_number_and_alone(number):
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        script = f"import os; os.write({number}, b'ready\\n'); print([n for n in range(3, 200) if n != {number} and os.path.exists(f'/proc/self/fd/{{n}}')])"
        program = boots.program("api", argv=(sys.executable, "-I", "-S", "-c", script))
        text, code = run_as_supervisord(program, evidence.Passing({}, {number: writer}))
        assert (code, text) == (0, b"[]\n")
        assert os.read(reader, 10) == b"ready\n"
    finally:
        os.close(reader)
        os.close(writer)


def test_descriptors_that_stand_at_each_others_numbers_are_not_mixed_up():
    (first, one), (second, two) = os.pipe(), os.pipe()
    try:
        script = f"import os; os.write({two}, b'one'); os.write({one}, b'two')"
        program = boots.program("api", argv=(sys.executable, "-I", "-S", "-c", script))
        assert run_as_supervisord(program, evidence.Passing({}, {two: one, one: two})) == (b"", 0)
        assert (os.read(first, 10), os.read(second, 10)) == (b"one", b"two")
    finally:
        for fd in (first, one, second, two):
            os.close(fd)


def test_only_a_program_with_a_watchdog_is_told_its_own_pid():
    program = boots.program("api", argv=python(), ready=boots.ready(plan.NOTIFY))
    for told in ({"NOTIFY_SOCKET": "/x"}, {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000"}):
        text, code, (_, pid) = run_child(
            program, {"SUPERVISOR_PROCESS_NAME": "api"}, passing=evidence.Passing(told, {})
        )
        seen = json.loads(text)["environment"]
        assert code == 0
        assert {key: seen.get(key) for key in told} == told
        assert seen.get("WATCHDOG_PID") == (str(pid) if "WATCHDOG_USEC" in told else None)


def test_what_one_child_got_the_next_one_does_not():
    options, given = supervisor_options.ServerOptions(), [{"NOTIFY_SOCKET": "/x"}, {}]
    seen: list[dict] = []
    options.fork = lambda: 1
    options.execve = lambda _file, _argv, env: seen.append(env)
    the_plan = boots.make_plan(boots.program("api"))
    spawn.install(options, the_plan, lambda: evidence.Passing(given.pop(0), {}), lambda _pid: None, dies_with_us=False)
    for _ in range(2):
        options.fork()
        options.execve("/x", [], {"SUPERVISOR_PROCESS_NAME": "api"})
    assert [env.get("NOTIFY_SOCKET") for env in seen] == ["/x", None]
