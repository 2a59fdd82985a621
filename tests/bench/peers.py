"""Other supervisors, measured when they are on PATH, each configured as its own manual says and no slower than it can be.

Sources: s6 2.11 (s6-svscan(8), s6-svwait(1), servicedir), runit 2.1 (runsvdir(8), sv(8)), Pebble's layer reference,
process-compose's and dinit's manuals.

Rules
-----
* Each has a seal of its own kind: the fastest way its own tools offer to know that everything is up.
* One that is not on PATH is named in the output.
"""

import json
import os
import shutil
import signal
from pathlib import Path

import systems
import workers


class _OnPath(systems.System):
    needs: tuple[str, ...]

    @classmethod
    def absent(cls) -> str:
        missing = [tool for tool in cls.needs if shutil.which(tool) is None]
        return f"{', '.join(missing)} not on PATH" if missing else ""

    def script(self, path: Path, *lines: str) -> None:
        """Write an executable shell script."""
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)

    def service(self, name: str) -> Path:
        """Return the directory of the service ``name``."""
        self.services()
        return self.directory(f"services/{name}")

    def services(self) -> Path:
        """Return the directory of its services."""
        return self.directory("services")


class S6(_OnPath):
    """s6-svscan; its seal is s6-svwait, which is told of each service."""

    name = "s6"
    needs = ("s6-svscan", "s6-svwait")
    notifies = True

    def prepare(self) -> None:
        is_told = self.scene.ready == workers.NOTIFY
        for name in self.scene.names:
            service = self.service(name)
            self.script(service / "run", "exec " + " ".join(self.command(name, 3)))
            if is_told:
                (service / "notification-fd").write_text("3\n")
        if self.with_seal:
            service, wanted = self.service("seal"), "-U" if is_told else "-u"
            names = " ".join(f"{self.services()}/{name}" for name in self.scene.names)
            wait = f"until s6-svwait {wanted} -t 60000 -a {names} 2>/dev/null; do sleep 0.01; done"
            self.script(service / "run", wait, f"touch {self.done}", "exec sleep 1000")

    def argv(self) -> list[str]:
        return ["s6-svscan", "-c", str(2 * self.scene.number + 100), str(self.services())]


class Runit(_OnPath):
    """runsvdir; its seal asks ``sv status`` every 10 ms. SIGHUP is its "stop everything"."""

    name = "runit"
    needs = ("runsvdir", "runsv", "sv")
    stop_signal = signal.SIGHUP

    def prepare(self) -> None:
        for name in self.scene.names:
            service = self.service(name)
            self.script(service / "run", "exec " + " ".join(self.command(name)))
        if self.with_seal:
            service, said = self.service("seal"), f"{self.root}/seal/status"
            names = " ".join(f"{self.services()}/{name}" for name in self.scene.names)
            ask = f"until sv status {names} >{said} 2>&1 && ! grep -qv '^run:' {said}; do sleep 0.01; done"
            self.script(service / "run", ask, f"touch {self.done}", "exec sleep 1000")
        os.utime(self.services(), (0, 0))  # a directory changed within the last second costs runsvdir a second

    def argv(self) -> list[str]:
        return ["runsvdir", str(self.services())]


class Pebble(_OnPath):
    """Pebble; its seal asks ``pebble services`` every 10 ms."""

    name = "pebble"
    needs = ("pebble",)

    def prepare(self) -> None:
        self.directory("pebble")
        layers = self.directory("pebble/layers")
        commands = {name: " ".join(self.command(name)) for name in self.scene.names}
        if self.with_seal:
            seal, said = self.root / "seal.sh", f"{self.root}/seal/status"
            ask = f"until pebble services {' '.join(commands)} >{said} && ! sed 1d {said} | grep -qv ' active '"
            self.script(seal, f"{ask}; do sleep 0.01; done", f"touch {self.done}", "exec sleep 1000")
            commands["seal"] = str(seal)
        shared = {"override": "replace", "startup": "enabled"}
        services = {name: {**shared, "command": text} for name, text in commands.items()}
        (layers / "001-bench.yaml").write_text(json.dumps({"summary": "bench", "services": services}))

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PEBBLE": str(self.root / "pebble")}

    def argv(self) -> list[str]:
        return ["pebble", "run"]


class ProcessCompose(_OnPath):
    """process-compose; its seal is a process that depends on all others' start."""

    name = "process-compose"
    needs = ("process-compose",)

    def prepare(self) -> None:
        always = {"availability": {"restart": "always"}}
        processes = {name: {"command": f"exec {' '.join(self.command(name))}", **always} for name in self.scene.names}
        if self.with_seal:
            needed = {name: {"condition": "process_started"} for name in self.scene.names}
            processes["seal"] = {"command": f"touch {self.done}; exec sleep 1000", "depends_on": needed}
        self.config.write_text(json.dumps({"version": "0.5", "log_location": "/dev/null", "processes": processes}))

    @property
    def config(self) -> Path:
        """Its configuration; YAML reads JSON."""
        return self.root / "process-compose.yaml"

    def argv(self) -> list[str]:
        return ["process-compose", "up", "--tui=false", "--no-server", "--config", str(self.config)]


class Dinit(_OnPath):
    """dinit; its seal is a service that depends on all others."""

    name = "dinit"
    needs = ("dinit",)
    notifies = True

    def prepare(self) -> None:
        services, is_told = self.services(), self.scene.ready == workers.NOTIFY
        for name in self.scene.names:
            lines = ["type = process", f"command = {' '.join(self.command(name, 3))}", "restart = true"]
            lines += ["smooth-recovery = true", "restart-delay = 0", *(["ready-notification = pipefd:3"] * is_told)]
            (services / name).write_text("\n".join([*lines, ""]))
        needed = "".join(f"depends-on = {name}\n" for name in self.scene.names)
        last = f"type = scripted\ncommand = /usr/bin/touch {self.done}\n{needed}" if self.with_seal else None
        if last is not None:
            (services / "seal").write_text(last)
        (services / "boot").write_text("type = internal\n" + ("depends-on = seal\n" if last else needed))

    def argv(self) -> list[str]:
        control = f"{self.root}/dinit.sock"
        return ["dinit", "--container", "--services-dir", str(self.services()), "--socket-path", control, "boot"]


ALL: tuple[type[systems.System], ...] = (S6, Runit, Pebble, ProcessCompose, Dinit)
