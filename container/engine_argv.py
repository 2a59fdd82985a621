"""``podman run`` and ``docker run``: the options that realise a plan. Pure.

Rules
-----
* The whole baseline stands in every output, each option by name, whatever an engine's own default is today.
* What the engines say differently stands side by side here: podman gives a file system in memory to the container's user (``U``),
  docker to the user by number; podman has secrets of its own, docker mounts files that the operator names; GPUs of NVIDIA are devices by CDI
  for podman, and docker's own ``--gpus``.
* An engine's own seccomp profile stays: an option for it stands there only where the plan denies more.
* A secret that is not there is an error: a file of the host is a ``--mount``, because docker makes a directory where the source of a
  ``--volume`` is missing.
* PID 1 is ours: no ``--init``. No host namespace, nothing privileged, and nothing of logs.
"""

import shlex
from collections.abc import Iterable

from container import rendering
from manifest import exposure, hardening, plan

PODMAN, DOCKER = "podman", "docker"
PODMANS_PLACE = "/run/secrets"
_ROOM_BYTES = 2**16
NVIDIA_CDI = "nvidia.com/gpu=all"
"""All GPUs of NVIDIA as the Container Device Interface names them (github.com/NVIDIA/nvidia-container-toolkit)."""


def render(loaded: plan.LoadedPlan, options: rendering.Options, engine: str) -> str:
    """Return the command for a shell, an option a line, below what has to exist first; raises CannotRender."""
    command = argv(loaded, options, engine)
    head = "".join(f"# {line}\n" for line in (*rendering.header(loaded, options), *needs(loaded.plan, options, engine)))
    first = 1 + command.index("run")
    lines = [shlex.join(command[:first]), *(shlex.quote(one) for one in command[first:])]
    return head + " \\\n    ".join(lines) + "\n"


def argv(loaded: plan.LoadedPlan, options: rendering.Options, engine: str) -> list[str]:
    """Return the command of ``engine``, PODMAN or DOCKER, word by word; raises CannotRender."""
    made = loaded.plan
    is_podman = engine == PODMAN
    words = [engine]
    if is_podman and (runtime := podman_runtime(made.security)):
        words.append(f"--runtime={runtime}")
    words += ["run", "--detach", f"--name={options.name}"]
    words += [f"--label={name}={value}" for name, value in rendering.labels(loaded).items()]
    words += _confinement(made, options, is_podman=is_podman)
    if is_podman:
        words += [f"--tmpfs={podman_tmpfs(one)}" for one in podman_mounts(made, options)]
    else:
        words += [f"--tmpfs={docker_tmpfs(one)}" for one in rendering.tmpfs(made)]
    words += _storage(made, options, is_podman=is_podman)
    words += [f"--env={name}" for name in rendering.variables(made)]
    words += [f"--publish={publication(one)}" for one in exposure.reachable(made)]
    words += _life(made, is_podman=is_podman)
    return [*words, options.image.reference]


def _confinement(made: plan.Plan, options: rendering.Options, *, is_podman: bool) -> list[str]:
    security = made.security
    words = [f"--user={security.user.uid}:{security.user.gid}"]
    words += [f"--group-add={name}" for name in security.groups]
    words += ["--read-only", *(["--read-only-tmpfs=false"] if is_podman else [])]
    words += ["--cap-drop=ALL", *(f"--cap-add={name}" for name in security.capabilities)]
    words += ["--security-opt=no-new-privileges"]
    if profile := rendering.seccomp_file(made, options):
        words.append(f"--security-opt=seccomp={profile}")
    limits = security.limits
    words += [f"--pids-limit={limits.pids}", f"--memory={limits.memory_bytes}b"]
    words += [] if limits.cpus is None else [f"--cpus={limits.cpus:.15g}"]
    words += [f"--ulimit=nofile={limits.files}:{limits.files}"]
    words += [f"--device={device(one)}" for one in security.devices]
    if security.gpu == hardening.NVIDIA:
        words.append(f"--device={NVIDIA_CDI}" if is_podman else "--gpus=all")
    if not is_podman and security.runtime is not None:
        words.append(f"--runtime={security.runtime}")
    return words


def _storage(made: plan.Plan, options: rendering.Options, *, is_podman: bool) -> list[str]:
    words = [f"--volume={name}:{rendering.speakable(path)}" for name, path in rendering.volumes(made, options.name)]
    missing = []
    for one in rendering.secrets(made).files:
        if given := options.secret_files.get(one.name):
            words.append(
                f"--mount=type=bind,source={rendering.speakable(given)},target={rendering.speakable(one.path)},readonly"
            )
        elif is_podman:
            words.append(f"--secret={podman_secret(made, options, one)}")
        else:
            missing.append(one.name)
    if missing:
        raise rendering.CannotRender(
            f"secrets {', '.join(missing)}",
            "docker has no secrets of its own outside a swarm",
            "name a file of the host for each: --secret-file NAME=/PATH",
        )
    return words


def _life(made: plan.Plan, *, is_podman: bool) -> list[str]:
    command = rendering.READY_COMMAND
    checked = json_words(command) if is_podman else shlex.join(command)
    return [
        f"--stop-signal={rendering.STOP_SIGNAL}",
        f"--stop-timeout={rendering.stop_seconds(made)}",
        "--restart=unless-stopped",
        f"--health-cmd={checked}",
        f"--health-interval={rendering.HEALTH_INTERVAL_SECONDS}s",
        f"--health-timeout={rendering.HEALTH_TIMEOUT_SECONDS}s",
        f"--health-retries={rendering.HEALTH_RETRIES}",
        f"--health-start-period={rendering.startup_seconds(made)}s",
    ]


def json_words(words: Iterable[str]) -> str:
    """Return the JSON list that podman takes for a command without a shell."""
    return "[" + ",".join(f'"{word}"' for word in words) + "]"


def podman_runtime(security: hardening.SecurityPlan) -> str | None:
    """Return the OCI runtime that podman is to use; CDI does what NVIDIA's own runtime does."""
    return None if security.gpu == hardening.NVIDIA and security.runtime == "nvidia" else security.runtime


def podman_mounts(made: plan.Plan, options: rendering.Options) -> tuple[rendering.Mount, ...]:
    """Return the file systems in memory, and one where podman's secrets lie below its own place for them.

    podman mounts something read-only there as soon as there is a secret, and could then make no file in it (seen with 4.3 and runc).
    """
    mounts = rendering.tmpfs(made)
    secrets = [one for one in rendering.secrets(made).files if one.name not in options.secret_files]
    is_needed = any(one.path.startswith(f"{PODMANS_PLACE}/") for one in secrets)
    if not is_needed or any(one.path == PODMANS_PLACE for one in mounts):
        return mounts
    room = rendering.Mount(PODMANS_PLACE, _ROOM_BYTES, 0o755, executable=False, user=made.security.user)
    return tuple(sorted((*mounts, room), key=lambda one: one.path))


def podman_tmpfs(mount: rendering.Mount) -> str:
    """Return a file system in memory as podman's ``--tmpfs`` takes it, given to the container's user.

    podman knows no ``uid=`` here (4.3 refuses it): one of another owner is given away by PID 1, which then is root.
    """
    return f"{_tmpfs(mount)},U"


def docker_tmpfs(mount: rendering.Mount) -> str:
    """Return a file system in memory as docker's ``--tmpfs`` and Compose's ``tmpfs`` take it, of its owner."""
    return f"{_tmpfs(mount)},uid={mount.user.uid},gid={mount.user.gid}"


def _tmpfs(mount: rendering.Mount) -> str:
    execution = "exec" if mount.executable else "noexec"
    return (
        f"{rendering.speakable(mount.path)}:rw,nosuid,nodev,{execution},size={mount.size_bytes},mode={mount.mode:04o}"
    )


def podman_secret(made: plan.Plan, options: rendering.Options, secret: rendering.SecretFile) -> str:
    """Return a secret of podman's own as ``--secret`` and Quadlet's ``Secret=`` take it, for PID 1's user to read."""
    user = made.security.user
    target = rendering.speakable(secret.path)
    return f"{options.name}-{secret.name},type=mount,target={target},uid={user.uid},gid={user.gid},mode=0400"


def publication(port: exposure.Reachable) -> str:
    """Return a published port as ``--publish`` takes it: an exposed one on every address, any other on the host's loopback."""
    return f"{'' if port.exposed else '127.0.0.1:'}{port.port}:{port.port}/tcp"


def device(one: hardening.Device) -> str:
    """Return a device as ``--device`` takes it."""
    path = rendering.speakable(one.path)
    return f"{path}:{path}:{one.permissions}"


def needs(made: plan.Plan, options: rendering.Options, engine: str) -> tuple[str, ...]:
    """Return what has to exist before the container is started, and which command makes it, a line each."""
    user = made.security.user
    found: list[str] = []
    secrets = rendering.secrets(made)
    for one in secrets.files:
        if given := options.secret_files.get(one.name):
            found.append(f"secret {one.name}: the file {given}, readable by uid {user.uid} or gid {user.gid}")
        elif engine == PODMAN:
            found.append(f"secret {one.name}: `podman secret create {options.name}-{one.name} FILE`")
    for carried in secrets.variables:
        absent = "which must be set" if carried.required else "generated where it is not set"
        found.append(f"secret {carried.name}: the variable {carried.variable}, {absent}")
    for name, path in rendering.volumes(made, options.name):
        found.append(f"volume {name}: made where it is missing, and then {path} belongs to uid {user.uid}")
        if engine != PODMAN:
            chown = ["docker", "run", "--rm", "--user=0:0", "--network=none", f"--volume={name}:{path}"]
            chown += ["--entrypoint=chown", options.image.reference, f"{user.uid}:{user.gid}", path]
            found[-1] = f"volume {name}, owned by uid {user.uid}, which docker does not do: `{shlex.join(chown)}`"
    if profile := rendering.seccomp_file(made, options):
        found.append(f"seccomp profile {profile}: {_narrowing(profile, engine)}")
    if made.security.gpu == hardening.NVIDIA and engine == PODMAN:
        found.append(f"device {NVIDIA_CDI}: `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`")
    return tuple(f"needs {line}" for line in found)


def _narrowing(profile: str, engine: str) -> str:
    """Return the command that writes ``profile``: of podman's own it would permit docker's containers more than docker does."""
    if engine == PODMAN:
        return f"`bootseal render seccomp -o {profile}`"
    return (
        f"`bootseal render seccomp --default FILE -o {profile}`, where FILE is the profile of the docker that runs here"
    )
