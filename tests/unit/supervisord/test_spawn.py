"""Between fork and exec, with supervisor's own options object and real processes."""

import ctypes
import dataclasses
import json
import os
import signal
import sys

import pytest
from supervisor import options as supervisor_options

from contract import exit_codes, files, prctl, rundir
from entrypoint import secret_delivery
from manifest import plan, provisions
from supervisord import credentials, evidence, spawn
from tests.unit import boots, children, hardened

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
    assert children.run(lambda: spawn._prepare_child(-1)) == 137


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


# --- secrets and users ----------------------------------------------------------------------------------------------

HELD = provisions.ExceptionPlan(provisions.PROGRAM_USERS, "why")
USER = provisions.User(1001, 1002)


def put(run: rundir.RunDirectory, secret: provisions.SecretPlan, data: bytes) -> None:
    """Put a secret where Stage A puts it."""
    for folder in (credentials.values_directory(run), *map(run.secrets_of, secret.programs)):
        os.makedirs(folder, exist_ok=True)
        files.write_atomically(f"{folder}/{secret.name}", data, 0o400)


def spawned(the_plan, name: str, *, chdir: str | None = None) -> tuple[bytes, bytes, int]:
    """Spawn as supervisord does and return what the program wrote to 1 and 2, and its code."""
    out, err, none = os.pipe(), os.pipe(), os.pipe()
    options = supervisor_options.ServerOptions()
    options.minfds = 1024
    install(options, the_plan)
    pid = options.fork()
    if pid == 0:
        try:
            os.dup2(none[0], 0)
            os.dup2(out[1], 1)
            os.dup2(err[1], 2)
            options.close_fd(3)
            if chdir is not None:
                options.chdir(chdir)
            path = the_plan.program(name).argv[0]
            options.execve(path, [], {"SUPERVISOR_PROCESS_NAME": name, "PATH": "/usr/bin:/bin", "HOME": "/root"})
        finally:
            os._exit(99)
    for fd in (out[1], err[1], *none):
        os.close(fd)
    with open(out[0], "rb") as first, open(err[0], "rb") as second:
        return first.read(), second.read(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def with_secrets(tmp_path, *programs, secrets=(), **changes):
    return boots.make_plan(*programs, secrets=tuple(secrets), run_directory=f"{tmp_path}/run", **changes)


def test_a_program_gets_its_secrets_and_its_neighbour_does_not(tmp_path):
    a, b = boots.program("a", argv=python()), boots.program("b", argv=python())
    secret = boots.secret("key", "a", environment="KEY")
    the_plan = with_secrets(tmp_path, a, b, secrets=[secret])
    run = rundir.open_or_create(the_plan.run_directory)
    put(run, secret, b"abcdef")
    text, _, code = spawned(the_plan, "a")
    seen = json.loads(text)["environment"]
    assert (code, seen["KEY"], seen["CREDENTIALS_DIRECTORY"]) == (0, "abcdef", run.secrets_of("a"))
    text, _, code = spawned(the_plan, "b")
    assert code == 0
    assert {"KEY", "CREDENTIALS_DIRECTORY"}.isdisjoint(json.loads(text)["environment"])


def test_the_probe_server_gets_its_token_as_a_file_that_exec_checks_do_not_inherit(tmp_path):
    probes = boots.program(plan.PROBES, role="probes", argv=python())
    secret = boots.secret("key", plan.PROBES, environment="KEY")
    the_plan = with_secrets(tmp_path, boots.program("a"), secrets=[secret])
    the_plan = dataclasses.replace(the_plan, programs=(probes, *the_plan.programs[1:]))
    run = rundir.open_or_create(the_plan.run_directory)
    put(run, secret, b"abcdef")
    text, _, code = spawned(the_plan, plan.PROBES)
    assert code == 0
    assert {"KEY", "CREDENTIALS_DIRECTORY"}.isdisjoint(json.loads(text)["environment"])
    os.unlink(f"{run.secrets_of(plan.PROBES)}/key")
    _, err, code = spawned(the_plan, plan.PROBES)
    assert code == exit_codes.NOT_FOUND
    assert err.startswith(b"spawn: secret key: ")


@pytest.mark.parametrize("place", ["values", "program"])
def test_a_program_is_never_started_without_its_secret_and_the_cause_is_its_last_word(tmp_path, place):
    secret = boots.secret("key", "a", environment="KEY")
    the_plan = with_secrets(tmp_path, boots.program("a", argv=python()), secrets=[secret])
    run = rundir.open_or_create(the_plan.run_directory)
    put(run, secret, b"abcdef")
    os.unlink(f"{credentials.values_directory(run) if place == 'values' else run.secrets_of('a')}/key")
    out, err, code = spawned(the_plan, "a")
    assert (out, code) == (b"", exit_codes.NOT_FOUND)
    assert err.startswith(b"spawn: secret key: ")
    assert b"No such file" in err
    assert err.count(b"\n") == 1


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a program a user of its own")

IDS = (
    "import json, os, sys; s = dict(l.split(':', 1) for l in open('/proc/self/status')); "
    "print(json.dumps({'uids': os.getresuid(), 'gids': os.getresgid(), 'groups': os.getgroups(), 'cwd': os.getcwd(), "
    "'caps': [s[n].strip() for n in ('CapPrm', 'CapEff', 'CapAmb')], 'nnp': s['NoNewPrivs'].strip(), "
    "'environment': dict(os.environ)}), file=open('/dev/stdout', 'w')); print('also', file=open('/dev/stderr', 'w'))"
)


@needs_root
def test_a_program_with_a_user_is_that_user_alone_for_good_and_in_its_own_directory(tmp_path):
    """/dev/stdout is opened anew there, which takes the pipe's ownership; the directory is closed to root without DAC_OVERRIDE."""
    os.chmod(tmp_path, 0o755)
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    os.chown(home, USER.uid, USER.gid)
    secret = boots.secret("key", "a", environment="KEY")
    program = boots.program("a", argv=("/usr/bin/python3", "-I", "-S", "-c", IDS), user=USER, directory=str(home))
    the_plan = with_secrets(tmp_path, program, secrets=[secret], exceptions=(HELD,))
    run = rundir.open_or_create(the_plan.run_directory)
    secret_delivery.deliver(the_plan, run, {}, ())

    out, err, code = hardened.run_as_root(lambda: spawned(the_plan, "a", chdir=str(home)))

    assert (code, err) == (0, b"also\n"), err
    seen = json.loads(out)
    assert (seen["uids"], seen["gids"], seen["groups"]) == ([1001] * 3, [1002] * 3, [])
    assert (seen["caps"], seen["nnp"]) == (["0" * 16] * 3, "1")
    assert seen["cwd"] == str(home)
    assert len(seen["environment"]["KEY"]) == 64
    assert seen["environment"]["HOME"] == "/"


@needs_root
def test_a_directory_that_the_user_may_not_enter_is_the_cause(tmp_path):
    os.chmod(tmp_path, 0o755)
    (tmp_path / "closed").mkdir(mode=0o700)
    program = boots.program("a", argv=("/bin/true",), user=USER, directory=f"{tmp_path}/closed")
    the_plan = with_secrets(tmp_path, program, exceptions=(HELD,))
    _, err, code = spawned(the_plan, "a", chdir=f"{tmp_path}/closed")
    assert (err, code) == (f"spawn: {tmp_path}/closed: Permission denied\n".encode(), exit_codes.NOT_FOUND)


@needs_root
def test_a_change_of_user_that_fails_ends_the_child(tmp_path, monkeypatch):
    program = boots.program("a", argv=("/bin/true",), user=USER)
    the_plan = with_secrets(tmp_path, program, exceptions=(HELD,))

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setresuid", refuse)
    _, err, code = spawned(the_plan, "a")
    assert code == exit_codes.NOT_FOUND
    assert err.startswith(b"spawn: user 1001:1002: Operation not permitted")


@needs_root
def test_a_program_with_a_user_still_dies_with_supervisord():
    """A change of user clears the death signal (``commit_creds`` of the kernel)."""
    reads = []
    ours = boots.program("a", user=USER)
    monkey = prctl.call
    pid = os.fork()
    if pid == 0:
        try:
            prctl.call = lambda option, value: (reads.append(option), monkey(option, value))[1]
            spawn._settle(ours, {}, os.getppid())
            os._exit(0 if prctl.SET_PDEATHSIG in reads and reads[-1] == prctl.SET_PDEATHSIG else 1)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
