"""A Quadlet unit: what systemd runs the container with, by podman (podman-systemd.unit(5)). Pure.

Rules
-----
* One file, ``NAME.container``: a volume that is missing is made by podman itself, and needs no unit.
* Its keys are those of podman ``OLDEST`` and later; what got a key after that is said through ``PodmanArgs``.
* A value cannot leave its line. ``%`` and ``$`` are doubled, because systemd would expand them, and what holds anything else that systemd
  or podman could take for syntax is refused (``rendering.speakable``).
* Variables are passed by name: systemd reads them from ``/etc/NAME.env`` (of a user's unit: ``~/.config/NAME.env``), and podman takes from there what
  is named, nothing else.
"""

from container import engine_argv, rendering
from manifest import exposure, hardening, plan

OLDEST = "4.8"
_PULL_SECONDS = 900
_RESTART_SECONDS = 5
"""Between an end and the next start: systemd gives up for good after five starts in 10 s (DefaultStartLimitIntervalSec=)."""
_STOPPED_SECONDS = 10
"""How long podman may take beside the stop itself, until systemd kills it."""


def render(loaded: plan.LoadedPlan, options: rendering.Options) -> str:
    """Return the text of ``NAME.container``; raises CannotRender."""
    made = loaded.plan
    head = [*rendering.header(loaded, options), *needs(made, options)]
    sections = {
        "Unit": [("Description", f"{options.name}, booted and sealed by bootseal")],
        "Container": _container(loaded, options),
        "Service": _service(made, options),
        "Install": [("WantedBy", "default.target")],
    }
    text = "".join(f"# {line}\n" for line in head)
    for title, entries in sections.items():
        text += f"\n[{title}]\n" + "".join(f"{key}={value}\n" for key, value in entries)
    return text


def needs(made: plan.Plan, options: rendering.Options) -> tuple[str, ...]:
    """Return what has to exist before the unit is started, a line each."""
    found = [f"needs podman {OLDEST} or later; goes to /etc/containers/systemd/{options.name}.container"]
    if rendering.variables(made):
        where = f"/etc/{options.name}.env (of a user's unit: ~/.config/{options.name}.env), NAME=VALUE a line"
        found.append(f"needs variables {', '.join(rendering.variables(made))}, where they are to be set, in {where}")
    return (*found, *engine_argv.needs(made, options, engine_argv.PODMAN))


def _container(loaded: plan.LoadedPlan, options: rendering.Options) -> list[tuple[str, str]]:
    made, security = loaded.plan, loaded.plan.security
    found = [
        ("Image", options.image.reference),
        ("ContainerName", options.name),
        *(("Label", f"{name}={value}") for name, value in rendering.labels(loaded).items()),
        ("User", str(security.user.uid)),
        ("Group", str(security.user.gid)),
        ("ReadOnly", "true"),
        ("ReadOnlyTmpfs", "false"),
        ("DropCapability", "all"),
        *(("AddCapability", f"CAP_{name}") for name in security.capabilities),
        ("NoNewPrivileges", "true"),
    ]
    if profile := rendering.seccomp_file(made, options):
        if not profile.startswith("/"):
            why = "systemd starts podman in the root directory, where it is not"
            raise rendering.CannotRender(f"seccomp profile {profile}", why, "name it from the root: --seccomp /PATH")
        found.append(("SeccompProfile", profile))
    found += [("Tmpfs", engine_argv.podman_tmpfs(one)) for one in engine_argv.podman_mounts(made, options)]
    found += _storage(made, options)
    found += [("PublishPort", engine_argv.publication(one)) for one in exposure.reachable(made)]
    found += [("PidsLimit", str(security.limits.pids))]
    found += [("Ulimit", f"nofile={security.limits.files}:{security.limits.files}")]
    found += [("AddDevice", engine_argv.device(one)) for one in security.devices]
    if security.gpu == hardening.NVIDIA:
        found.append(("AddDevice", engine_argv.NVIDIA_CDI))
    found += [
        ("HealthCmd", " ".join(rendering.READY_COMMAND)),
        ("HealthInterval", f"{rendering.HEALTH_INTERVAL_SECONDS}s"),
        ("HealthTimeout", f"{rendering.HEALTH_TIMEOUT_SECONDS}s"),
        ("HealthRetries", str(rendering.HEALTH_RETRIES)),
        ("HealthStartPeriod", f"{rendering.startup_seconds(made)}s"),
    ]
    if runtime := engine_argv.podman_runtime(security):
        found.append(("GlobalArgs", f"--runtime={runtime}"))
    found += [("PodmanArgs", word) for word in _later_keys(made)]
    return [(key, _literal(value)) for key, value in found]


def _later_keys(made: plan.Plan) -> list[str]:
    """Return the options that had no key in podman OLDEST, and the variables, which a key could only give values."""
    security = made.security
    words = [f"--group-add={name}" for name in security.groups]
    words += [f"--memory={security.limits.memory_bytes}b"]
    words += [] if security.limits.cpus is None else [f"--cpus={security.limits.cpus:.15g}"]
    words += [f"--stop-signal={rendering.STOP_SIGNAL}", f"--stop-timeout={rendering.stop_seconds(made)}"]
    return [*words, *(f"--env={name}" for name in rendering.variables(made))]


def _storage(made: plan.Plan, options: rendering.Options) -> list[tuple[str, str]]:
    found = [("Volume", f"{name}:{rendering.speakable(path)}") for name, path in rendering.volumes(made, options.name)]
    for one in rendering.secrets(made).files:
        if given := options.secret_files.get(one.name):
            found.append(("Volume", f"{rendering.speakable(given)}:{rendering.speakable(one.path)}:ro"))
        else:
            found.append(("Secret", engine_argv.podman_secret(made, options, one)))
    return found


def _service(made: plan.Plan, options: rendering.Options) -> list[tuple[str, str]]:
    stop_seconds = rendering.stop_seconds(made) + _STOPPED_SECONDS
    environment = [("EnvironmentFile", f"-%E/{options.name}.env")] if rendering.variables(made) else []
    limits = [("TimeoutStartSec", str(_PULL_SECONDS)), ("TimeoutStopSec", str(stop_seconds))]
    return [*environment, ("Restart", "always"), ("RestartSec", str(_RESTART_SECONDS)), *limits]


def _literal(value: str) -> str:
    """Return ``value`` as systemd reads it: its specifiers and variables begin with signs that are doubled to stand for themselves.

    systemd.unit(5) says so of ``%``, systemd.service(5) of ``$`` in the command lines that Quadlet makes of all this.
    """
    return value.replace("%", "%%").replace("$", "$$")
