"""What is measured: bootseal and plain supervisord, each running the same scene as the same user.

Rules
-----
* A system is made, prepared, launched, and ended; ``done`` is the file that says "everything is up", its seal.
* Every system runs as the uid that the integration tests' trees run as, with the same environment.
* Plain supervisord has two seals: ``PLAIN``, the idiom of shell scripts, and ``PLAIN_FAST``, the fastest its interface allows.
"""

import abc
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import tree as trees
import trials
import workers

BOOTSEAL, PLAIN, PLAIN_FAST = "bootseal", "plain supervisord", "plain, fastest seal"

_SHELL_SEAL = """\
until status=$(supervisorctl -c {config} status) ; \\
      ! printf '%s\\n' "$status" | grep -v '^seal ' | grep -qv ' RUNNING ' && [ -n "$status" ]; do sleep 2; done
touch {done}
"""
_FAST_SEAL = """\
import time, xmlrpc.client
from supervisor.xmlrpc import SupervisorTransport
proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", SupervisorTransport(None, None, "unix://{root}/s.sock"))
while any(item["statename"] != "RUNNING" for item in proxy.supervisor.getAllProcessInfo() if item["name"] != "seal"):
    time.sleep(0.025)
open("{done}", "w").close()
"""
_PLAIN_HEAD = """\
[unix_http_server]
file={root}/s.sock
[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
minfds={descriptors}
pidfile={root}/pid
[supervisorctl]
serverurl=unix://{root}/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


class System(abc.ABC):
    """One system in a directory of its own."""

    name: str
    stop_signal = signal.SIGTERM
    notifies = False
    """Whether it has programs that say themselves when they are ready."""

    def __init__(self, root: Path, scene: workers.Scene, *, with_seal: bool = True) -> None:
        self.root = root
        self.scene = scene
        self.with_seal = with_seal
        self.notes = self.directory("notes")
        self.process: subprocess.Popen[bytes] | None = None
        self.launched = self.launched_wall = 0.0

    @classmethod
    def absent(cls) -> str:
        """Say why it cannot be measured here; empty when it can."""
        return ""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Write everything that it reads."""

    @abc.abstractmethod
    def argv(self) -> list[str]:
        """Return the command that starts it."""

    @property
    def done(self) -> str:
        """The file that its seal writes."""
        return f"{self.directory('seal')}/done"

    @property
    def pid(self) -> int:
        """Its first process."""
        assert self.process is not None
        return self.process.pid

    def directory(self, name: str) -> Path:
        """Return a directory that it may write, made if need be."""
        path = self.root / name
        if not path.exists():
            path.mkdir(mode=0o755)
            if (uid := trees.other_uid()) is not None:
                os.chown(path, uid, uid)
        return path

    def command(self, name: str, descriptor: int | None = None) -> list[str]:
        """Return the argv of the program ``name``."""
        return workers.command(self.scene, self.notes, name, descriptor, is_told=self.notifies)

    def environment(self) -> dict[str, str]:
        """Return the environment it is started with."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"PATH": path, "HOME": "/", "TMPDIR": str(self.directory("tmp"))}

    def launch(self) -> None:
        """Start it; ``launched`` is the moment before."""
        uid = trees.other_uid()
        identity: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        with (self.root / "output").open("wb") as output:
            self.launched, self.launched_wall = time.monotonic(), time.time()
            self.process = subprocess.Popen(
                self.argv(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment(),
                cwd="/",
                process_group=0,
                **identity,
            )

    def is_alive(self) -> bool:
        """Say whether its first process runs."""
        return self.process is not None and self.process.poll() is None

    def wait_started(self) -> dict[str, workers.Note]:
        """Return each program's first word; raises trials.Missed with the system's last words."""
        return self._explained(lambda: workers.wait_for_all(self.scene, self.notes, "started"))

    def launch_and_see_done(self) -> float:
        """Launch it and return the moment at which its seal was there."""
        arrival = trials.Arrival(self.done)
        try:
            self.launch()
            return self._explained(lambda: arrival.wait(self.is_alive))
        finally:
            arrival.close()

    def _explained(self, wait: Any) -> Any:
        try:
            return wait()
        except trials.Missed as missed:
            words = (self.root / "output").read_text(errors="replace").strip().splitlines()
            raise trials.Missed(f"{missed}; last output: {words[-1][-300:] if words else 'none'}") from None

    def pids(self) -> list[int]:
        """Return all its processes."""
        return [self.pid, *trees.descendants(self.pid)]

    def stop(self) -> tuple[float, list[float]]:
        """Ask it to stop; return the moment of asking and those at which its processes had ended."""
        return trials.wait_until_all_ended(self.pids(), lambda: os.kill(self.pid, self.stop_signal))

    def destroy(self) -> None:
        """End whatever is left of it."""
        if self.process is None:
            return
        left = trees.descendants(self.pid)
        self.process.kill()
        self.process.wait()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        trials.sweep()


class Bootseal(System):
    """This project: Stage A, supervisord with the extension, the probe server, the seal."""

    name = BOOTSEAL
    notifies = True

    def prepare(self) -> None:
        self.tree = trees.Tree(self.root, trees.free_port())
        self.directory("run")
        self.tree.build({"programs": self.programs()}, prove=True)

    def programs(self) -> dict[str, Any]:
        """Return the manifest's programs."""
        lasting = f"{self.scene.lasting_seconds}s"
        ready = {"notify": True} if self.scene.ready == workers.NOTIFY else {"running": True, "for": lasting}
        shared = {"ready": ready, "restart": {"backoff": "1ms"}}
        return {name: {"command": self.command(name), **shared} for name in self.scene.names}

    def argv(self) -> list[str]:
        boot = [sys.executable, "-I", "-X", "utf8", "-m", "entrypoint", "boot"]
        return [*boot, "--plan", str(self.tree.plan_directory), "--run-dir", self.tree.run.path]

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": "/"}

    @property
    def done(self) -> str:
        return self.tree.run.seal


class Plain(System):
    """Plain supervisord, sealed by a shell script that polls ``supervisorctl status`` every 2 s."""

    name = PLAIN

    def prepare(self) -> None:
        head = _PLAIN_HEAD.format(root=self.root, descriptors=max(1024, 4 * self.scene.number + 100))
        kind = f"startsecs={self.scene.lasting_seconds}\npriority=10\n"
        body = [f"[program:{name}]\ncommand={' '.join(self.command(name))}\n{kind}" for name in self.scene.names]
        if self.with_seal:
            body.append(f"[program:seal]\ncommand={self.seal()}\nstartsecs=0\npriority=99\nautorestart=false\n")
        self.config.write_text(head + "".join(body))

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.root / "plain.conf"

    def seal(self) -> str:
        """Return the command of its seal program."""
        script = self.root / "seal.sh"
        script.write_text(_SHELL_SEAL.format(config=self.config, done=self.done))
        return f"sh {script}"

    def argv(self) -> list[str]:
        return [sys.executable, "-I", "-m", "supervisor.supervisord", "-c", str(self.config)]


class PlainFast(Plain):
    """Plain supervisord, sealed by one program that asks over its socket every 25 ms."""

    name = PLAIN_FAST

    def seal(self) -> str:
        script = self.root / "seal.py"
        script.write_text(_FAST_SEAL.format(root=self.root, done=self.done))
        return f"{sys.executable} -I {script}"
