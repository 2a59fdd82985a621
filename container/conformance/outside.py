"""What the machine that runs the suite sees of the container: its engine's word, its log, and the host's own /proc.

Rules
-----
* The engine is asked by its own client, as testinfra does (podman, docker; kubectl for the log alone). A backend that has none,
  and what this user may not read, leaves the fact unseen, with the reason.
* The host's /proc/PID counts only where it is the container's: its cgroup bears the container's id. An engine on another machine has
  pids of another machine.
* User ids are told as the container sees them, by its uid_map (user_namespaces(7)).
* ``stop`` is the only function that changes anything.
"""

import contextlib
import dataclasses
import json
import math
import os
import subprocess
from typing import Any

from container.conformance import confinement, facts
from container.conformance.promise import Judging, Unseen, Violation
from contract import errors, exit_codes
from manifest import plan

ENGINES = ("podman", "docker")
_PATIENCE_SECONDS = 60.0
_ROUNDING_SECONDS = 1.0
_ALLOWING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
"""The actions that let a call through (seccomp(2): SECCOMP_RET_LOG too)."""


class EngineFailed(errors.BootsealError):
    """The engine's client could not be run, or refused."""


def look(host: Any) -> facts.Outside:
    """Return what can be seen of ``host``, a testinfra host."""
    backend = str(host.backend.NAME)
    if backend in ENGINES:
        return _look_by_engine(backend, host.backend.name)
    if backend == "kubectl":
        why = "a cluster shows its nodes to nobody"
        return facts.Outside(
            backend, why, log=_log(["kubectl", *_kubectl_options(host.backend), "logs", host.backend.name])
        )
    return facts.Outside(backend, f"the backend {backend} has no engine that could be asked")


def _look_by_engine(engine: str, name: str) -> facts.Outside:
    log = _log([engine, "logs", name])
    try:
        described = json.loads(_run([engine, "inspect", "--type=container", name]))[0]
        pid, identifier, settings = int(described["State"]["Pid"]), str(described["Id"]), described["HostConfig"]
    except (EngineFailed, ValueError, LookupError, TypeError) as error:
        return facts.Outside(engine, f"{engine} inspect: {error}", log=log)
    is_ours = pid > 0 and identifier in (_text(f"/proc/{pid}/cgroup") or "")
    main = _process(pid) if is_ours else None
    return facts.Outside(
        backend=engine,
        why="" if main is not None else "the engine's processes are not this machine's, or not this user's to see",
        main=main,
        shared=_shared(pid) if is_ours else None,
        privileged=bool(settings.get("Privileged")),
        allowed_syscalls=allowed_syscalls(settings.get("SecurityOpt") or ()),
        log=log,
    )


def _process(pid: int) -> facts.Process | None:
    stat, status = _text(f"/proc/{pid}/stat"), _text(f"/proc/{pid}/status")
    if stat is None or status is None:
        return None
    environ = _text(f"/proc/{pid}/environ")
    names = None if environ is None else tuple(sorted({one.partition("=")[0] for one in environ.split("\0") if one}))
    argv = tuple((_text(f"/proc/{pid}/cmdline") or "").split("\0")[:-1])
    try:
        seen = facts.read_process(facts.Told(pid, stat, status, argv, names))
    except (ValueError, LookupError):
        return None
    uids, gids = _text(f"/proc/{pid}/uid_map") or "", _text(f"/proc/{pid}/gid_map") or ""
    return dataclasses.replace(seen, uids=mapped(seen.uids, uids), gids=mapped(seen.gids, gids))


def mapped(ids: tuple[int, ...], table: str) -> tuple[int, ...]:
    """Return ``ids`` as a user namespace with the map ``table`` (inside, outside, count) shows them; -1 is one that it has none for."""
    lines = [tuple(int(word) for word in line.split()) for line in table.splitlines()]

    def inside(number: int) -> int:
        return next((start + number - out for start, out, count in lines if out <= number < out + count), -1)

    return tuple(inside(one) for one in ids)


def _shared(pid: int) -> tuple[str, ...] | None:
    """Return the namespaces that process ``pid`` shares with this one; None where this user may not see it."""
    try:
        return tuple(
            name
            for name in confinement.NAMESPACES
            if os.readlink(f"/proc/{pid}/ns/{name}") == os.readlink(f"/proc/self/ns/{name}")
        )
    except OSError:
        return None


def allowed_syscalls(options: Any) -> tuple[str, ...] | None:
    """Return what the seccomp profile in an engine's security options allows: a path for podman, the text itself for docker.

    None where no profile is named, it cannot be read, or it allows whatever it does not name.
    """
    named = [str(one).partition("=")[2] for one in options if str(one).startswith("seccomp=")]
    if not named:
        return None
    text = named[0] if named[0].startswith("{") else _text(named[0])
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
        profile = json.loads(text or "")
        if profile["defaultAction"] in _ALLOWING:
            return None
        found = {
            name
            for rule in profile["syscalls"]
            if rule["action"] in _ALLOWING and not rule.get("args")
            for name in rule["names"]
        }
        return tuple(sorted(found))
    return None


def stop(host: Any, the_plan: plan.Plan) -> Judging:
    """The container stops within the plan's budget, with exit code 0."""
    backend, name = str(host.backend.NAME), getattr(host.backend, "name", "")
    if backend not in ENGINES:
        raise Unseen(f"the backend {backend} tells no exit code: stop it yourself and look")
    described = json.loads(_run([backend, "inspect", "--type=container", name]))[0]
    if described["HostConfig"].get("AutoRemove"):
        raise Unseen("it removes itself as it stops, and its exit code with it: run it without --rm")
    seconds = math.ceil(the_plan.stop.budget_seconds + _ROUNDING_SECONDS)
    _run([backend, "stop", "--time", str(seconds), name], seconds + _PATIENCE_SECONDS)
    state = json.loads(_run([backend, "inspect", "--type=container", name]))[0]["State"]
    code = int(state["ExitCode"])
    if code != exit_codes.OK:
        late = f": it was killed after {seconds} s" if code == 137 else ""
        yield Violation("stopping", f"the container exited {code}, not 0{late}", "look at the end of its log")
    return f"exit code {code}, at most {seconds} s"


def _kubectl_options(backend: Any) -> list[str]:
    """Return the options that name the pod's container, as testinfra was given them (``kubectl://POD?namespace=…``)."""
    options = {
        "kubeconfig": "--kubeconfig",
        "context": "--context",
        "namespace": "--namespace",
        "container": "--container",
    }
    return [
        f"{option}={value}" for name, option in options.items() if (value := getattr(backend, name, None)) is not None
    ]


def _log(command: list[str]) -> str | None:
    try:
        return _run(command, merged=True)
    except EngineFailed:
        return None


def _run(command: list[str], timeout_seconds: float = _PATIENCE_SECONDS, *, merged: bool = False) -> str:
    what = " ".join(command[:2])
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            timeout=timeout_seconds,
            check=False,
        )
    except OSError as error:
        raise EngineFailed(what, errors.describe_os_error(error), f"install {command[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise EngineFailed(what, f"no answer within {timeout_seconds:g} s", "look at the engine") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        raise EngineFailed(
            what, f"exit status {done.returncode}: {said[-300:]}", "is the container there, and this user's?"
        )
    return done.stdout.decode("utf-8", "replace")


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None
