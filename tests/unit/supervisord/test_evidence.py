import dataclasses
import os
import select
import shutil
import socket
import stat
import subprocess
import sys
import textwrap

import pytest

from contract import clock, errors
from manifest import plan, provisions
from supervisord import attribution, descriptor, evidence, file_watch
from tests.unit import boots, children

PATIENCE_SECONDS = 30.0
PRELUDE = """
import array, os, socket, subprocess, sys
def say(text, *descriptors):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(os.environ["NOTIFY_SOCKET"])
        s.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])
def barrier():
    read, write = os.pipe()
    say("BARRIER=1", write)
    os.close(write)
    assert os.read(read, 1) == b""
"""


class Sink:
    """Writes down all it is told, as (what, name, …)."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def __getattr__(self, what):
        return lambda *facts: self.told.append((what, *facts))


class World:
    """The evidence of some programs, a loop to turn, and their processes."""

    def __init__(self, directory: str, *programs: plan.ProgramPlan) -> None:
        self.path = f"{directory}/notify.sock"
        self.map: dict = {}
        self.sink = Sink()
        self.faults: list[str] = []
        self.running: list[subprocess.Popen] = []
        self.evidence = evidence.Evidence(
            programs, self.path, self.map, self.sink, lambda where, error: self.faults.append(f"{where}: {error}")
        )

    def take(self) -> list[tuple]:
        """Return what was told and forget it."""
        told, self.sink.told = self.sink.told, []
        return told

    def turn(self, seconds: float = 0.0) -> None:
        poller = select.poll()
        for fd, item in self.map.items():
            if item.readable():
                poller.register(fd, select.POLLIN)
        for fd, _ in poller.poll(seconds * 1000):
            if fd in self.map:
                self.map[fd].handle_read_event()

    def hear(self, count: int = 1) -> list[tuple]:
        """Turn until ``count`` things were told."""
        until = clock.monotonic() + PATIENCE_SECONDS
        while len(self.sink.told) < count and clock.monotonic() < until:
            self.turn(PATIENCE_SECONDS)
        self.turn()
        return self.take()

    def start(self, name: str, code: str) -> subprocess.Popen:
        """Start a process of ``name``, as spawn does it."""
        passing = self.evidence.before_spawn(name)
        made = self.unknown(code, passing)
        self.evidence.after_fork(name, made.pid)
        return made

    def unknown(self, code: str, passing: evidence.Passing | None = None) -> subprocess.Popen:
        """Start a process that is no program's."""
        passing = passing or evidence.Passing({"NOTIFY_SOCKET": self.path}, {})

        def place() -> None:
            for number, ours in passing.descriptors.items():
                os.dup2(ours, number, inheritable=True)

        made = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(code)], env={**os.environ, **passing.environment},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=place, close_fds=False,
        )  # fmt: skip
        self.running.append(made)
        return made

    def run(self, name: str, code: str) -> list[tuple]:
        """Return what is told until a process of ``name`` that runs ``code`` has passed its barrier and ended."""
        made = self.start(name, textwrap.dedent(code) + "\nbarrier()\n")
        self.until_ended(made)
        self.evidence.ended(name)
        return self.take()

    def until_ended(self, made: subprocess.Popen) -> None:
        """Turn until ``made`` has ended, and a last time."""
        end = os.pidfd_open(made.pid)
        has_ended = False
        while not has_ended:
            poller = select.poll()
            for fd in (end, *self.map):
                poller.register(fd, select.POLLIN)
            ready = poller.poll(PATIENCE_SECONDS * 1000)
            assert ready, "nothing happened"
            has_ended = any(fd == end for fd, _ in ready)
            self.turn()
        os.close(end)
        assert made.wait() == 0

    def close(self) -> None:
        self.evidence.close()
        for made in self.running:
            made.kill()
            made.communicate()


def notify(name: str, **changes) -> plan.ProgramPlan:
    return boots.program(name, ready=boots.ready(plan.NOTIFY, **changes))


def by_descriptor(name: str, number: int = 5) -> plan.ProgramPlan:
    return boots.program(name, ready=boots.ready(plan.DESCRIPTOR, descriptor=number))


def by_file(name: str, path: str) -> plan.ProgramPlan:
    return boots.program(name, ready=boots.ready(plan.FILE, path=path))


def by_log(name: str, pattern: str = "^ready$") -> plan.ProgramPlan:
    return boots.program(name, ready=boots.ready(plan.LOG, pattern=pattern))


@pytest.fixture
def worlds(tmp_path):
    made: list[World] = []

    def make(*programs: plan.ProgramPlan) -> World:
        made.append(World(str(tmp_path), *programs))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(worlds):
    made = worlds(notify("api"), notify("web"), boots.program("plain"))
    yield made
    assert made.faults == []


# --- notify -------------------------------------------------------------------------------------------------------


def test_what_a_program_says_is_told_under_its_name_words_before_the_state(world):
    code = """
        say("READY=1\\nSTATUS=serving  it\\nEXTEND_TIMEOUT_USEC=2500000\\nWATCHDOG=1\\nWATCHDOG_USEC=500000")
        say(f"MAINPID={os.getpid()}")
        say("RELOADING=1")
        say("WATCHDOG=trigger")
        say("STOPPING=1")
        say("STATUS=")
    """
    told = world.run("api", code)
    pid = world.running[0].pid
    assert told == [
        ("said", "api", "serving  it"), ("watchdog_interval", "api", 0.5), ("extended", "api", 2.5),
        ("proven", "api", "READY=1"), ("alive", "api"), ("main_pid", "api", pid), ("withdrawn", "api", "is reloading"),
        ("alarmed", "api"), ("stopping", "api"), ("said", "api", ""),
    ]  # fmt: skip


def test_who_says_that_it_reloads_and_is_ready_is_ready(world):
    assert world.run("api", 'say("RELOADING=1\\nREADY=1")') == [("proven", "api", "READY=1")]


def test_a_descendant_speaks_for_its_program_and_for_no_other(world):
    world.start("web", "input()")
    code = """
        if os.fork() == 0:
            if os.fork() == 0:
                say("READY=1")
                barrier()
                os._exit(0)
            os.wait()
            os._exit(0)
        os.wait()
    """
    assert world.run("api", code) == [("proven", "api", "READY=1")]


def test_who_belongs_to_no_program_is_refused(world):
    world.start("api", "input()")
    stranger = world.unknown('say("READY=1\\nSTATUS=x"); barrier()')
    world.until_ended(stranger)
    ((what, reason),) = world.take()
    assert what == "refused"
    assert reason == f"a datagram of pid {stranger.pid}: its sender belongs to no program that is ready by notify"


def test_a_program_that_is_not_ready_by_notify_is_refused(world):
    world.evidence.before_spawn("plain")
    plain = world.unknown('say("READY=1"); barrier()')
    world.evidence.after_fork("plain", plain.pid)
    world.until_ended(plain)
    assert [what for what, *_ in world.take()] == ["refused"]


def test_a_sender_that_is_gone_is_refused(world):
    made = world.start("api", """
        pid = os.fork()
        if pid == 0:
            say("READY=1")
            os._exit(0)
        os.waitpid(pid, 0)
    """)  # fmt: skip
    made.wait()
    ((what, reason),) = world.hear()
    assert what == "refused"
    assert reason.endswith("its sender is gone")


def test_a_sender_that_has_ended_but_was_not_reaped_counts(world):
    made = world.start("api", 'say("READY=1")')
    os.waitid(os.P_PID, made.pid, os.WEXITED | os.WNOWAIT)
    assert world.hear() == [("proven", "api", "READY=1")]


@pytest.mark.parametrize("is_followed", [False, True])
def test_what_comes_from_an_ended_process_proves_nothing(world, is_followed):
    old = world.start("api", 'input(); say("READY=1"); barrier()')
    world.evidence.ended("api")
    if is_followed:
        world.start("api", "input()")
    old.stdin.write(b"\n")
    old.stdin.flush()
    world.until_ended(old)
    assert [what for what, *_ in world.take()] == ["refused"]


def test_a_main_process_of_another_program_is_refused_and_the_rest_is_told(world):
    web = world.start("web", "input()")
    told = world.run("api", f'say("MAINPID={web.pid}\\nREADY=1"); say("MAINPID=1"); say("MAINPID={os.getpid()}")')
    assert told == [
        ("refused", f"api: MAINPID {web.pid} is no process of api"), ("proven", "api", "READY=1"),
        ("refused", "api: MAINPID 1 is no process of api"),
        ("refused", f"api: MAINPID {os.getpid()} is no process of api"),
    ]  # fmt: skip


def test_a_main_process_and_its_children_count_when_its_parent_is_gone(world):
    made = world.start("api", """
        parent = os.getpid()
        pid = os.fork()
        if pid:
            say(f"MAINPID={pid}")
            barrier()
            os._exit(0)
        os.close(1)
        sys.stdin.readline()
        if os.getppid() == parent:
            say("STATUS=was not orphaned")
        if os.fork() == 0:
            say("READY=1")
            barrier()
            os._exit(0)
        os.wait()
        say("STATUS=from the main process")
        barrier()
    """)  # fmt: skip
    ((what, name, main),) = world.hear()
    assert (what, name) == ("main_pid", "api")
    world.until_ended(made)
    assert main != made.pid
    made.stdin.write(b"\n")
    made.stdin.flush()
    assert world.hear(2) == [("proven", "api", "READY=1"), ("said", "api", "from the main process")]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ('"garbage"', "it holds no assignment"),
        ('"READY=1\\0STATUS=x"', "it holds a NUL byte"),
        ('"BARRIER=1\\nREADY=1"', "beside BARRIER=1"),
        ('"MAINPID=-1"', "MAINPID is not a number"),
        ('"WATCHDOG_USEC=0"', "WATCHDOG_USEC is not a number"),
        ('"READY=1\\n" + "x" * 4096', "longer than 4096 bytes"),
    ],
)
def test_what_is_not_believed_is_refused_with_a_reason_and_proves_nothing(world, data, why):
    ((what, reason),) = world.run("api", f"say({data})")
    assert what == "refused"
    assert why in reason
    assert str(world.running[0].pid) in reason


def test_descriptors_beside_a_message_change_nothing_about_it(world):
    before = len(os.listdir("/proc/self/fd"))
    assert world.run("api", 'say("READY=1\\nFDSTORE=1", *[0] * 200)') == [("proven", "api", "READY=1")]
    assert len(os.listdir("/proc/self/fd")) == before + 2, "the pipes of the process that this test holds"


@pytest.mark.skipif(shutil.which("systemd-notify") is None, reason="systemd-notify is not installed")
def test_systemds_own_program_is_understood_and_gets_its_barrier(world):
    code = 'subprocess.run(["systemd-notify", "--ready", "--status=up and running"], check=True)'
    assert sorted(world.run("api", code)) == [("proven", "api", "READY=1"), ("said", "api", "up and running")]


def test_a_flood_of_one_program_starves_nobody(world):
    """While it goes on, another program is heard; and each turn takes a bounded number."""
    world.start("api", 'say("STATUS=begun")\nwhile True: say("READY=1")')
    assert world.hear()[0] == ("said", "api", "begun")
    world.start("web", 'say("READY=1"); input()')
    heard: set[str] = set()
    turns = 0
    while "web" not in heard:
        world.turn(PATIENCE_SECONDS)
        told = world.take()
        assert 0 < len(told) <= 32
        heard |= {name for _, name, *_ in told}
        turns += 1
        assert turns < 100_000


def test_the_child_is_told_where_and_how_often_and_nothing_else(worlds, tmp_path):
    world = worlds(notify("api"), notify("web", watchdog_seconds=2.5))
    assert world.evidence.before_spawn("api") == evidence.Passing({"NOTIFY_SOCKET": world.path}, {})
    assert world.evidence.before_spawn("web") == evidence.Passing(
        {"NOTIFY_SOCKET": world.path, "WATCHDOG_USEC": "2500000"}, {}
    )


def test_without_a_program_that_is_ready_by_notify_there_is_no_socket(worlds):
    world = worlds(boots.program("plain"), by_log("api"))
    assert not os.path.exists(world.path)
    assert world.map == {}


def test_a_socket_that_cannot_be_made_is_an_error(tmp_path):
    with pytest.raises(OSError, match=r"."):
        World(f"{tmp_path}/none", notify("api"))


# --- descriptor ---------------------------------------------------------------------------------------------------


def test_a_newline_on_its_descriptor_proves_a_program(worlds):
    world = worlds(by_descriptor("api", 17))
    made = world.start("api", 'os.write(17, b"up\\n"); os.close(17); input()')
    assert world.hear() == [("proven", "api", "newline on fd 17")]
    assert made.poll() is None
    while world.map:  # until the end of the pipe is seen
        world.turn(PATIENCE_SECONDS)
    assert (world.take(), world.faults) == ([], [])


def test_a_descriptor_that_is_closed_without_a_newline_is_told(worlds):
    world = worlds(by_descriptor("api"))
    world.start("api", "os.close(5); input()")
    assert world.hear() == [("withdrawn", "api", "closed fd 5 without a newline")]


def test_what_is_left_of_an_ended_process_proves_nothing_for_the_next(worlds):
    world = worlds(by_descriptor("api"))
    old = world.start("api", 'input(); os.write(5, b"\\n")')
    new = world.start("api", "input()")
    old.stdin.write(b"\n")
    old.stdin.flush()
    old.wait()
    world.turn()
    assert world.take() == []
    world.evidence.ended("api")
    assert world.map == {}
    assert new.poll() is None


def test_a_pipe_that_cannot_be_made_is_reported_and_told_after_the_fork_too(worlds, monkeypatch):
    world = worlds(by_descriptor("api"))

    def fail(*_):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(descriptor, "Pipe", fail)
        assert world.evidence.before_spawn("api") == evidence.Passing({}, {})
    told = ("withdrawn", "api", "cannot be proven ready: Too many open files")
    assert world.take() == [told]
    assert len(world.faults) == 1
    world.evidence.after_fork("api", os.getpid())
    assert world.take() == [told]
    assert world.evidence.before_spawn("api").descriptors
    world.evidence.after_fork("api", os.getpid())
    assert world.take() == []


def test_when_there_was_no_fork_nothing_is_left_open(worlds):
    world = worlds(by_descriptor("api"), notify("web"))
    before = len(os.listdir("/proc/self/fd"))
    for name in ("api", "web"):
        world.evidence.before_spawn(name)
        world.evidence.after_fork(name, -1)
    assert len(os.listdir("/proc/self/fd")) == before
    assert (world.take(), world.faults) == ([], [])


# --- file ---------------------------------------------------------------------------------------------------------


def test_a_file_proves_and_its_loss_withdraws(worlds, tmp_path):
    path = f"{tmp_path}/ready"
    world = worlds(by_file("api", path))
    open(path, "w").close()
    made = world.start("api", f"open({path!r}, 'w'); input(); os.unlink({path!r}); input()")
    assert not world.take()
    assert world.hear() == [("proven", "api", f"file {path}")]
    made.stdin.write(b"\n")
    made.stdin.flush()
    assert world.hear() == [("withdrawn", "api", f"has lost its file {path}")]
    world.evidence.ended("api")
    open(path, "w").close()
    world.turn()
    assert (world.take(), world.faults) == ([], [])


def test_a_file_in_a_directory_to_come_is_looked_for_at_moments_that_are_told(worlds, tmp_path):
    path = f"{tmp_path}/later/ready"
    world = worlds(by_file("api", path), notify("web"))
    assert world.evidence.next_due() is None
    world.evidence.before_spawn("api")
    due = world.evidence.next_due()
    assert due is not None
    os.mkdir(os.path.dirname(path))
    open(path, "w").close()
    world.evidence.advance(due)
    assert world.take() == [("proven", "api", f"file {path}")]
    assert world.evidence.next_due() is None


def test_a_directory_in_the_place_of_the_file_is_never_a_proof(worlds, tmp_path):
    path = f"{tmp_path}/ready"
    os.mkdir(path)
    world = worlds(by_file("api", path))
    world.evidence.before_spawn("api")
    world.evidence.after_fork("api", os.getpid())
    world.turn()
    world.evidence.advance(clock.monotonic() + 60)
    assert set(world.take()) == {("withdrawn", "api", f"cannot be proven ready: {path}: it is a directory")}


def test_inotify_is_asked_for_only_by_a_program_that_needs_it(worlds, monkeypatch):
    monkeypatch.setattr(file_watch, "FileWatch", lambda *_: pytest.fail("nobody needs it"))
    worlds(notify("api"), by_descriptor("web"), by_log("log"), boots.program("plain")).evidence.advance(0.0)


# --- log ----------------------------------------------------------------------------------------------------------


def test_a_line_proves_once_for_each_process(worlds):
    world = worlds(by_log("api"), boots.program("plain"))
    world.evidence.output("api", "stdout", b"ready\n")
    assert world.take() == [], "nothing runs"
    for _ in range(2):
        world.evidence.before_spawn("api")
        world.evidence.output("plain", "stdout", b"ready\n")
        world.evidence.output("api", "stderr", b"not ready\nrea")
        assert world.take() == []
        world.evidence.output("api", "stderr", b"dy\nready\n")
        world.evidence.output("api", "stdout", b"ready\n")
        assert world.take() == [("proven", "api", "log line")]


@pytest.mark.parametrize("event", ["ended", "before_spawn"])
def test_what_an_earlier_process_wrote_proves_nothing(worlds, event):
    world = worlds(by_log("api"))
    world.evidence.before_spawn("api")
    world.evidence.output("api", "stdout", b"rea")
    getattr(world.evidence, event)("api")
    world.evidence.output("api", "stdout", b"dy\n")
    assert world.take() == []


def test_a_pattern_that_is_none_is_an_error_at_once(worlds):
    with pytest.raises(errors.BootsealError, match="program api: its log pattern is no regular expression"):
        worlds(by_log("api", "("))


# --- all of it ----------------------------------------------------------------------------------------------------

OTHER_KINDS = [kind for kind in plan.READY_KINDS if kind not in evidence._KINDS]


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_programs_of_other_kinds_cost_nothing(worlds, kind, monkeypatch):
    world = worlds(boots.program("plain", ready=boots.ready(kind)))
    monkeypatch.setattr(attribution, "read_stat", lambda _: pytest.fail("it is not asked for"))
    assert world.evidence.before_spawn("plain") == evidence.Passing({}, {})
    world.evidence.after_fork("plain", os.getpid())
    world.evidence.output("plain", "stdout", b"x\n")
    world.evidence.ended("plain")
    for unknown in ("after_fork", "output"):
        getattr(world.evidence, unknown)("unknown", *((1,) if unknown == "after_fork" else ("stdout", b"x")))
    assert (world.map, world.evidence.next_due(), world.sink.told) == ({}, None, [])


def all_kinds(tmp_path) -> tuple[plan.ProgramPlan, ...]:
    return notify("n"), by_descriptor("d"), by_file("f", f"{tmp_path}/ready"), by_log("l")


def test_the_end_of_a_generation_leaves_nothing_but_the_sockets_file(worlds, tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    world = worlds(*all_kinds(tmp_path))
    assert not any(os.get_inheritable(fd) for fd in world.map)
    for name in "ndfl":
        world.evidence.before_spawn(name)
    for name in "ndf":
        world.evidence.after_fork(name, os.getpid())
    assert len(world.map) == 3
    items = list(world.map.values())
    world.evidence.close()
    world.evidence.close()
    assert world.map == {}
    assert len(os.listdir("/proc/self/fd")) == before
    assert os.path.exists(world.path)
    for item in items:
        item.handle_read_event()
        assert not item.readable()
    again = worlds(*all_kinds(tmp_path))
    assert again.run("n", 'say("READY=1")') == [("proven", "n", "READY=1")]
    assert world.take() == []
    assert world.faults == []


def test_no_exception_of_a_sink_leaves_and_each_is_reported(tmp_path):
    class Failing:
        def __getattr__(self, what):
            def fail(*_):
                raise RuntimeError(what)

            return fail

    world = World(str(tmp_path), *all_kinds(tmp_path))
    world.evidence._sink = Failing()
    for name in "ndfl":
        world.evidence.before_spawn(name)
    me = os.getpid()
    world.evidence.after_fork("n", me)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(world.path)
        sender.send(f"READY=1\nSTATUS=x\nMAINPID={me}\nWATCHDOG=1\nWATCHDOG_USEC=5\nEXTEND_TIMEOUT_USEC=5".encode())
        for data in (b"RELOADING=1", b"STOPPING=1", b"WATCHDOG=trigger", b"garbage"):
            sender.send(data)
    os.write(world.evidence._pipes["d"].child_end, b"\n")
    open(f"{tmp_path}/ready", "w").close()
    world.evidence.output("l", "stdout", b"ready\n")
    world.turn()
    os.unlink(f"{tmp_path}/ready")
    world.turn()
    os.mkdir(f"{tmp_path}/ready")
    world.evidence.before_spawn("f")
    world.evidence.after_fork("f", me)
    for method in (name for name in vars(evidence.Sink) if not name.startswith("_")):
        assert any(fault.endswith(f": {method}") for fault in world.faults), method
    world.close()


@pytest.mark.parametrize("part", ["_attribution", "_pipes", "_matchers", "_files"])
def test_no_exception_of_a_part_leaves(tmp_path, part):
    class Broken:
        def __getattr__(self, what):
            raise RuntimeError(what)

        __contains__ = __getitem__ = __getattr__

    world = World(str(tmp_path), *all_kinds(tmp_path))
    kept = getattr(world.evidence, part)
    setattr(world.evidence, part, Broken())
    for name in "ndfl":
        world.evidence.before_spawn(name)
        world.evidence.after_fork(name, os.getpid())
        world.evidence.output(name, "stdout", b"ready\n")
        world.evidence.ended(name)
    world.evidence.next_due()
    world.evidence.advance(clock.monotonic() + 10)
    world.turn()
    assert world.faults
    setattr(world.evidence, part, kept)
    world.close()


# --- programs with users of their own -----------------------------------------------------------------------------

USER, OTHER = provisions.User(2001, 2001), provisions.User(2002, 2002)
BECOME = "os.setgroups([]); os.setresgid({0}, {0}, {0}); os.setresuid({0}, {0}, {0})\n"
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give programs users of their own")


def as_user(user: provisions.User, code: str) -> str:
    return BECOME.format(user.uid) + textwrap.dedent(code)


@pytest.fixture
def apart(worlds, tmp_path):
    """Two programs that are ready by notify, each with its own user."""
    tmp_path.chmod(0o755)
    return worlds(dataclasses.replace(notify("api"), user=USER), dataclasses.replace(notify("web"), user=OTHER))


@only_root
def test_programs_of_other_users_reach_the_notify_socket_and_are_believed(apart):
    assert stat.S_IMODE(os.stat(apart.path).st_mode) == 0o666
    assert apart.run("api", as_user(USER, 'say("READY=1")')) == [("proven", "api", "READY=1")]


def test_without_users_the_notify_socket_is_this_users_alone(world):
    assert stat.S_IMODE(os.stat(world.path).st_mode) == 0o700


@only_root
def test_a_descendant_under_another_uid_does_not_speak_for_its_program(apart):
    ((what, reason),) = apart.run("api", as_user(OTHER, 'say("READY=1")'))
    assert what == "refused"
    assert reason.endswith("its sender has uid 2002, api has 2001")


@only_root
def test_a_main_process_under_another_uid_is_refused(apart):
    code = """
        ready, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setresuid(2002, 2002, 2002)
            os.write(told, b"x")
            input()
            os._exit(0)
        os.read(ready, 1)
        os.setresuid(2001, 2001, 2001)
        say(f"MAINPID={pid}")
        barrier()
    """
    made = apart.start("api", textwrap.dedent(code))
    ((what, reason),) = apart.hear()
    assert what == "refused"
    assert "is not of uid 2001 as api is" in reason
    apart.until_ended(made)  # its child ends with the pipe that it reads


@only_root
def test_nobody_forges_the_pid_or_the_uid_of_a_neighbour(apart):
    """The kernel refuses it: unix(7), SCM_CREDENTIALS takes CAP_SYS_ADMIN for a foreign pid and CAP_SETUID for a uid."""
    web = apart.start("web", as_user(OTHER, "input()"))
    code = """
        import struct
        def forge(*credentials):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.connect(os.environ["NOTIFY_SOCKET"])
                try:
                    s.sendmsg([b"READY=1"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", *credentials))])
                except PermissionError:
                    return
            say("STATUS=it could")
        forge(%d, 2001, 2001)
        forge(os.getpid(), 2002, 2002)
        forge(os.getpid(), 0, 0)
        say("STATUS=it could not")
    """  # fmt: skip
    assert apart.run("api", as_user(USER, code % web.pid)) == [("said", "api", "it could not")]


@pytest.fixture
def his(tmp_path):
    """A directory of a program's user, which root enters only with that user's rights where it has no capability."""
    tmp_path.chmod(0o755)
    made = tmp_path / "his"
    made.mkdir(mode=0o700)
    os.chown(made, USER.uid, USER.gid)
    return made


def without_capabilities(work) -> int:
    """Run ``work`` as a root that has CAP_SETUID and CAP_SETGID and nothing else, which is what PID 1 then is."""

    def bounded() -> object:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        kept = 1 << 6 | 1 << 7
        assert libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)) == 0
        return work()

    return children.run(bounded)


@only_root
def test_a_file_in_a_directory_that_only_its_user_may_enter_is_removed_and_seen(worlds, his):
    path = f"{his}/ready"

    def work() -> bool:
        world = worlds(dataclasses.replace(by_file("api", path), user=USER))
        world.evidence.before_spawn("api")
        is_removed = not children.run(lambda: become(USER) and not os.path.exists(path))
        children.run(lambda: become(USER) and open(path, "w").close() is None)
        told = world.hear()
        return (is_removed, told, world.faults) == (True, [("proven", "api", f"file {path}")], [])

    (his / "ready").touch()
    os.chown(his / "ready", USER.uid, USER.gid)
    assert without_capabilities(work) == 0


def become(user: provisions.User) -> bool:
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    return True


@only_root
@pytest.mark.parametrize("planted", ["directory", "file"])
def test_a_link_that_a_program_plants_leads_to_nothing_that_is_not_its_own(worlds, his, tmp_path, planted):
    ours = tmp_path / "ours"
    ours.mkdir(mode=0o755)
    (ours / "ready").touch()
    path = f"{his}/here/ready"
    if planted == "directory":
        (his / "here").symlink_to(ours)
    else:
        (his / "here").mkdir()
        os.chown(his / "here", USER.uid, USER.gid)
        (his / "here/ready").symlink_to(ours / "ready")

    world = worlds(dataclasses.replace(by_file("api", path), user=USER))
    world.evidence.before_spawn("api")
    assert (ours / "ready").exists()
    told = world.take()
    if planted == "directory":
        assert told == [
            ("withdrawn", "api", f"cannot be proven ready: {path}: it cannot be removed: Permission denied")
        ]
    else:
        assert told == []
        assert not os.path.lexists(path)


@only_root
def test_after_all_of_it_pid_1_is_itself(worlds, his):
    before = os.getresuid(), os.getresgid(), os.getgroups()
    world = worlds(dataclasses.replace(by_file("api", f"{his}/ready"), user=USER))
    world.evidence.before_spawn("api")
    world.evidence.advance(clock.monotonic() + 60)
    world.evidence.ended("api")
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before
