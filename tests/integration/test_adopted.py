"""Adopted configurations run what plain supervisord runs; event listeners and FastCGI programs work under the extension.

The programs of the configurations are stand-ins that only stay: what is compared is what supervisord made of them, in /proc.
"""

import contextlib
import http.client
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import xmlrpc.client
from pathlib import Path
from typing import Any

import pytest
import tree as trees
import yaml
from supervisor import xmlrpc as supervisor_xmlrpc

from contract import snapshot
from manifest.adoption import ini, processes, writing

ADOPTED = Path(__file__).parents[1] / "adopted"
CONFIGURATIONS = sorted(ADOPTED.glob("*.conf"))
VARIABLES = {
    "CELERY_APP": "shop.celery", "CELERY_CONCURRENCY": "4", "CELERY_OPTIONS": "-E  --prefetch=2 *", "CELERY_USER": "nobody",
    "CELERY_BEAT": "true", "BROKER_URL": "redis://127.0.0.1/0?a=b", "SUPERSET_PORT": "8088", "SERVER_WORKER_AMOUNT": "2",
    "SUPERSET_SECRET_KEY": "it's a key", "FLOWER_PORT": "5555", "ENABLE_FLOWER": "yes", "GEOMETRY": "1280x720x24",
}  # fmt: skip
_MOVED = re.compile(r"((?<![\w./])|(?<=unix://))/(?=(?:usr|srv|opt|app|var|home|run|etc|tmp)(?:/|\b))")
_SHELLS = {"sh", "bash"}
CALLED_BY_SHELLS = ("php", "superset")
STAND_IN = "#!/bin/sh\nwhile :; do sleep 1; done\n"
LISTENING = "#!/bin/sh\nprintf 'READY\\n'\nwhile :; do sleep 1; done\n"


class Copy:
    """A configuration whose paths were moved below ``root``, with stand-ins where its programs are."""

    def __init__(self, source: Path, root: Path) -> None:
        self.files = root / "fs"
        self.folder = root / "conf"
        shutil.copytree(ADOPTED, self.folder)
        for path in self.folder.rglob("*"):
            if path.is_file():
                path.write_text(self._moved(path.read_text()))
        self.path = self.folder / source.name
        self.read = ini.read(str(self.path), follows_includes=True)
        self.found = processes.find(self.read, str(self.folder), VARIABLES).processes
        (self.files / "bin").mkdir(parents=True)
        (self.files / "tmp").mkdir()
        for name in CALLED_BY_SHELLS:
            self._write(self.files / "bin" / name, STAND_IN)
        for one in self.found:
            self._stand_in(one)

    def _moved(self, text: str) -> str:
        """Return ``text`` with its paths below ``files``, and without what takes root or a module that is not here."""
        text = _MOVED.sub(f"{self.files}/", text)
        text = re.sub(r"(?m)^(user|socket_owner|result_handler|chmod|username|password) *=.*$", "", text)
        return text.replace("events=PROCESS_LOG\n", "events=TICK_3600\nautostart=false\n")

    def _stand_in(self, process: processes.Process) -> None:
        for directory in (process.settings.directory, *(self._logs(process))):
            if directory is not None:
                Path(directory).mkdir(parents=True, exist_ok=True)
        try:
            first = shlex.split(process.settings.command)[0]
        except ValueError:
            return
        if os.path.basename(first) in _SHELLS:
            return
        program = Path(first) if first.startswith("/") else self.files / "bin" / first
        self._write(program, LISTENING if process.section.kind == processes.LISTENER else STAND_IN)

    def _write(self, program: Path, text: str) -> None:
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)

    def _logs(self, process: processes.Process) -> list[str]:
        named = [process.texts.get(f"{stream}_logfile", "") for stream in ("stdout", "stderr")]
        sockets = [process.settings.socket.removeprefix("unix://")]
        return [os.path.dirname(path) for path in (*named, *sockets) if path.startswith(str(self.files))]

    @property
    def environment(self) -> dict[str, str]:
        return {**VARIABLES, "PATH": f"{self.files}/bin:{os.environ['PATH']}", "HOME": "/"}

    def belongs_to(self, uid: int | None) -> None:
        for path in (self.files, self.folder, *self.files.rglob("*"), *self.folder.rglob("*")):
            if uid is not None:
                os.chown(path, uid, uid)

    def start_plainly(self) -> "subprocess.Popen[bytes]":
        """Run supervisord as it is on the configuration, with a socket to ask it at."""
        own = self.folder / "plain.conf"
        ports = (
            [f"[inet_http_server]\nport=127.0.0.1:{trees.free_port()}\n"]
            if self.read.section("inet_http_server")
            else []
        )
        own.write_text(
            f"{self.path.read_text()}\n[unix_http_server]\nfile={self.folder}/s\nchmod=0700\n[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n[supervisord]\nnodaemon=true\n"
            f"logfile=/dev/null\nlogfile_maxbytes=0\npidfile={self.folder}/p\nchildlogdir={self.folder}\nminfds=256\n{''.join(ports)}"
        )
        uid = trees.other_uid()
        identity: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        self.belongs_to(uid)
        with (self.folder / "said").open("wb") as said:
            if uid is not None:  # /dev/stdout is opened anew
                os.fchown(said.fileno(), uid, uid)
            command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(own)]
            return subprocess.Popen(
                command, cwd="/", env=self.environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said, **identity
            )

    def said(self) -> str:
        return (self.folder / "said").read_text(errors="replace")[-3000:]

    def pids(self) -> dict[str, int]:
        """Return the processes of plain supervisord by full name; nothing while it does not answer."""
        transport: Any = supervisor_xmlrpc.SupervisorTransport(None, None, f"unix://{self.folder}/s")
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        try:
            every: Any = proxy.supervisor.getAllProcessInfo()
        except (OSError, xmlrpc.client.Error, http.client.HTTPException):
            return {}
        finally:
            transport.close()
        return {
            one["name"] if one["name"] == one["group"] else f"{one['group']}:{one['name']}": one["pid"] for one in every
        }


def facts(pid: int | None, variables: list[str]) -> tuple[Any, ...] | None:
    """Return argv, working directory, umask and the ``variables`` of a process, or None while it is not there."""
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes()
        environment = dict(
            one.partition(b"=")[::2] for one in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if one
        )
        status = Path(f"/proc/{pid}/status").read_text()
        cwd = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None
    umask = re.search(r"(?m)^Umask:\s*(\S+)", status)
    return argv, cwd, umask and umask[1], {name: environment.get(name.encode()) for name in variables}


@pytest.mark.parametrize("source", CONFIGURATIONS, ids=lambda path: path.stem)
def test_the_same_processes_run_as_under_plain_supervisord(source: Path, tree: trees.Tree) -> None:
    copy = Copy(source, tree.root)
    made = writing.adopt(copy.read, str(copy.folder), "tree", {})
    plain = copy.start_plainly()
    try:
        port = str(trees.free_port())  # the same socket could not be had twice
        tree.build(
            {**yaml.safe_load(made.text.replace(":9002", f":{port}")), "probes": {"listen": f"127.0.0.1:{tree.port}"}}
        )
        tree.start(copy.environment)
        declared = {one.full_name: one for one in copy.found}
        compared: dict[str, tuple[Any, Any]] = {}

        def is_same() -> bool:
            theirs = copy.pids()
            if not theirs or not os.path.exists(tree.run.supervisor_socket):
                return False
            try:
                ours = {view.name: view.pid for view in tree.snapshot().programs}
            except (OSError, ValueError):
                return False
            for full_name, name in made.names.items():
                variables = sorted(declared[full_name].settings.environment)
                compared[name] = facts(theirs.get(full_name), variables), facts(ours.get(name), variables)
            return all(one is not None and one == other for one, other in compared.values())

        trees.wait_until(is_same, "both run the same", lambda: f"{compared}\n{copy.said()}\n{tree.stderr()[-3000:]}")
        wanted = {one.full_name: one.settings for one in copy.found if one.full_name in made.names}
        for full_name, settings in wanted.items():
            environment = compared[made.names[full_name]][1][3]
            assert {name: value.decode() for name, value in environment.items()} == settings.environment
    finally:
        pids = trees.descendants(plain.pid)
        plain.kill()
        plain.wait()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


# --- event listeners and FastCGI programs, imported ------------------------------------------------------------------

LISTENER = """\
import os, sys

with open(sys.argv[1], "a") as heard:
    heard.write(os.environ["SUPERVISOR_SERVER_URL"] + "\\n")
    while True:
        sys.stdout.write("READY\\n")
        sys.stdout.flush()
        head = dict(pair.split(":", 1) for pair in sys.stdin.readline().split())
        data = sys.stdin.read(int(head["len"]))
        print("heard", head["eventname"], file=sys.stderr, flush=True)
        heard.write(head["eventname"] + " " + data.splitlines()[0] + "\\n")
        heard.flush()
        if len(sys.argv) > 2 and sys.argv[2] in data:
            print("a stray word")
            sys.stdout.flush()
            sys.stdin.read()
        sys.stdout.write("RESULT 2\\nOK")
"""
ACCEPTING = """\
import os, socket

listening = socket.socket(fileno=0)
while True:
    client, _ = listening.accept()
    client.sendall(str(os.getpid()).encode())
    client.close()
"""


def write_programs(tree: trees.Tree, conf: str) -> None:
    (tree.root / "listener.py").write_text(LISTENER)
    (tree.root / "accepting.py").write_text(ACCEPTING)
    python = f"{sys.executable} -I -u {tree.root}"
    (tree.root / "app.conf").write_text(conf.replace("PYTHON ", f"{python}/").replace("ROOT", str(tree.root)))


CONF = """\
[eventlistener:Watch]
command=PYTHON listener.py ROOT/heard
events=PROCESS_STATE,TICK_3600
[fcgi-program:cgi]
command=PYTHON accepting.py
socket=unix://ROOT/run/cgi.sock
socket_mode=0660
numprocs=2
process_name=%(program_name)s_%(process_num)d
[program:web]
command=sleep 1000
startsecs=0
"""


def ask(tree: trees.Tree) -> int:
    """Return the pid of whoever answered on the FastCGI socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(trees.PATIENCE_SECONDS)
        client.connect(f"{tree.run.path}/cgi.sock")
        return int(client.recv(100))


def heard(tree: trees.Tree) -> str:
    path = tree.root / "heard"
    return path.read_text() if path.exists() else ""


def test_a_listener_and_fastcgi_programs_boot_seal_and_stop_in_order(tree: trees.Tree) -> None:
    write_programs(tree, CONF)
    tree.build({"programs": {"from": "app.conf", "web": {"after": ["cgi-0", "cgi-1", "watch"]}}}, prove=True)
    tree.start().wait_ready()
    pids = {view.name: view.pid for view in tree.snapshot().programs}
    assert tree.program("watch").ready_by == "READY as an event listener"
    assert {ask(tree) for _ in range(200)} <= {pids["cgi-0"], pids["cgi-1"]}
    assert os.stat(f"{tree.run.path}/cgi.sock").st_mode & 0o777 == 0o660
    trees.wait_until(
        lambda: "PROCESS_STATE_RUNNING processname:web" in heard(tree), "the listener heard", lambda: heard(tree)
    )
    assert heard(tree).startswith(f"unix://{tree.run.supervisor_socket}\n")
    assert not re.search("processname:(probes|bootstrap)", heard(tree))
    assert tree.stop() == 0
    log = tree.stdout()
    assert log.index("stopped: web ") < min(log.index(f"stopped: {name} ") for name in ("cgi-0", "cgi-1", "watch"))
    assert "RESULT" not in log and "READY\n" not in log
    assert "heard PROCESS_STATE_RUNNING" in tree.stderr()
    assert "ExtensionFault" not in tree.stderr()


def test_they_come_back_after_a_crash_and_after_a_reload(tree: trees.Tree) -> None:
    write_programs(tree, CONF)
    tree.build({"programs": {"from": "app.conf"}})
    tree.start().wait_ready()
    for name in ("cgi-0", "cgi-1", "watch"):
        pid = tree.program(name).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        trees.wait_until(
            lambda name=name, pid=pid: (view := tree.program(name)).state == snapshot.READY and view.pid != pid,
            f"{name} again",
        )
    assert ask(tree) in {tree.program("cgi-0").pid, tree.program("cgi-1").pid}
    tree.process.send_signal(signal.SIGHUP)
    tree.wait_for_event("SupervisorStarted", generation=2)
    tree.wait_ready()
    assert ask(tree) in {tree.program("cgi-0").pid, tree.program("cgi-1").pid}
    assert tree.program("watch").ready_by == "READY as an event listener"
    assert tree.stop() == 0


def test_a_listener_that_says_something_else_is_not_ready_and_named(tree: trees.Tree) -> None:
    write_programs(tree, "[eventlistener:watch]\ncommand=sh -c 'echo Starting up; exec sleep 1000'\nevents=TICK_5\n")
    tree.build({"programs": {"from": "app.conf"}})
    tree.start()

    def reason() -> str:
        status, body = tree.get("/ready")
        assert status in {0, 503}
        return next((one["reason"] for one in (body or {}).get("missing", []) if one["id"] == "watch"), "")

    said = trees.wait_until(lambda: why if "protocol" in (why := reason()) else "", "a named cause", reason)
    assert "broke the event listener protocol" in said and "Starting up" in said
    assert tree.stop() == 0


def test_a_listener_that_breaks_the_protocol_later_ends_readiness(tree: trees.Tree) -> None:
    write_programs(
        tree,
        "[eventlistener:watch]\ncommand=PYTHON listener.py ROOT/heard processname:once\nevents=PROCESS_STATE_EXITED\n",
    )
    once = {
        "command": ["sh", "-c", f"while [ ! -e {tree.root}/go ]; do sleep 0.1; done"],
        "required": False,
        "oneshot": True,
    }
    tree.build({"programs": {"from": "app.conf", "web": trees.QUICK, "once": once}})
    tree.start().wait_ready()
    (tree.root / "go").touch()
    missing = tree.wait_unready()["missing"]
    assert [one["id"] for one in missing] == ["watch"]
    assert "event listener protocol" in missing[0]["reason"]
    assert tree.stop() == 0


def test_a_listener_whose_answer_has_no_end_ends_itself_and_not_pid_1(tree: trees.Tree) -> None:
    """Supervisor takes such an answer apart for ever, and once more at the listener's end, where nothing catches what comes of it."""
    said = r"printf 'READY\n'; read -r head; printf 'RESULT -5\nmuch more than five'"
    listener = {"command": ["sh", "-c", f"{said}; echo >>{tree.root}/ended"], "listener": ["PROCESS_STATE"]}
    tree.build({"programs": {"hostile": {**listener, "required": False}, "web": trees.QUICK}})
    tree.start().wait_ready()
    ended = tree.root / "ended"
    trees.wait_until(lambda: ended.exists() and ended.read_text().count("\n") > 1, "it ended twice", tree.stderr)
    assert tree.stop() == 0


def test_a_socket_that_cannot_be_had_is_a_failed_boot_with_its_cause(tree: trees.Tree) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        tree.build({"programs": {"cgi": {"command": ["sleep", "1000"], "fastcgi": f"tcp://127.0.0.1:{port}"}}})
        tree.start()
        assert tree.exit_code() == 6
    assert f"tcp://127.0.0.1:{port}" in tree.failure()["cause"]
