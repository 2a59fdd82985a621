"""A Compose file: the service, its volumes and secrets. Pure.

Rules
-----
* What it says is said by the Compose Specification (compose-spec.io); nothing of one implementation's own.
* A dollar in a value is doubled: Compose would put a variable there.
* A secret is ``external`` where no file is named for it, and the file's own name for it is the engine's: podman-compose knows no other.
  Docker has external ones in a swarm alone: for it, name files with --secret-file.
* One service is one container: it publishes ports of one host. ``deploy.replicas`` of the manifest is for clusters.
"""

from typing import Any

from container import engine_argv, rendering
from manifest import exposure, hardening, plan


def render(loaded: plan.LoadedPlan, options: rendering.Options) -> str:
    """Return the text of the Compose file; raises CannotRender."""
    import yaml

    lines = (*rendering.header(loaded, options), *_needs(loaded.plan, options))
    text: str = yaml.safe_dump(document(loaded, options), sort_keys=False, allow_unicode=True, width=1000)
    return "".join(f"# {line}\n" for line in lines) + text


def document(loaded: plan.LoadedPlan, options: rendering.Options) -> dict[str, Any]:
    """Return the Compose file as plain values, in the order in which they are written; raises CannotRender."""
    made = loaded.plan
    wanted = {
        "name": options.name,
        "services": {options.name: _service(loaded, options)},
        "volumes": {one.name: {"name": f"{options.name}-{one.name}"} for one in made.deploy.volumes},
        "secrets": {f"{options.name}-{one.name}": _secret(one, options) for one in rendering.secrets(made).files},
    }
    found: dict[str, Any] = _literal({key: value for key, value in wanted.items() if value})
    return found


def _service(loaded: plan.LoadedPlan, options: rendering.Options) -> dict[str, Any]:
    made, security = loaded.plan, loaded.plan.security
    profile = rendering.seccomp_file(made, options)
    service = {
        "image": options.image.reference,
        "labels": rendering.labels(loaded),
        "user": f"{security.user.uid}:{security.user.gid}",
        "group_add": list(security.groups),
        "read_only": True,
        "cap_drop": ["ALL"],
        "cap_add": list(security.capabilities),
        "security_opt": ["no-new-privileges:true", *([f"seccomp={profile}"] if profile else [])],
        "tmpfs": [engine_argv.docker_tmpfs(one) for one in rendering.tmpfs(made)],
        "volumes": _volumes(made),
        "secrets": _granted(made, options),
        "environment": list(rendering.variables(made)),
        "ports": [_port(one) for one in exposure.reachable(made)],
        "pids_limit": security.limits.pids,
        "mem_limit": f"{security.limits.memory_bytes}b",
        "cpus": security.limits.cpus,
        "ulimits": {"nofile": {"soft": security.limits.files, "hard": security.limits.files}},
        "devices": [engine_argv.device(one) for one in security.devices],
        "runtime": security.runtime,
        "deploy": _gpus(security),
        "stop_signal": rendering.STOP_SIGNAL,
        "stop_grace_period": f"{rendering.stop_seconds(made)}s",
        "restart": "unless-stopped",
        "healthcheck": {
            "test": ["CMD", *rendering.READY_COMMAND],
            "interval": f"{rendering.HEALTH_INTERVAL_SECONDS}s",
            "timeout": f"{rendering.HEALTH_TIMEOUT_SECONDS}s",
            "retries": rendering.HEALTH_RETRIES,
            "start_period": f"{rendering.startup_seconds(made)}s",
        },
    }
    return {key: value for key, value in service.items() if value not in (None, [], {})}


def _volumes(made: plan.Plan) -> list[dict[str, Any]]:
    volumes = sorted(made.deploy.volumes, key=lambda one: one.path)
    return [{"type": "volume", "source": one.name, "target": rendering.speakable(one.path)} for one in volumes]


def _granted(made: plan.Plan, options: rendering.Options) -> list[dict[str, Any]]:
    """Return the secrets that the service gets; whose they are is a file's own to say, where it is one of the host."""
    user = made.security.user
    owner = {"uid": str(user.uid), "gid": str(user.gid), "mode": "0400"}
    return [
        {
            "source": f"{options.name}-{one.name}",
            "target": rendering.speakable(one.path),
            **({} if one.name in options.secret_files else owner),
        }
        for one in rendering.secrets(made).files
    ]


def _secret(one: rendering.SecretFile, options: rendering.Options) -> dict[str, Any]:
    if given := options.secret_files.get(one.name):
        return {"file": rendering.speakable(given)}
    return {"external": True}


def _port(one: exposure.Reachable) -> dict[str, Any]:
    where = {} if one.exposed else {"host_ip": "127.0.0.1"}
    return {"target": one.port, "published": str(one.port), "protocol": "tcp", **where}


def _gpus(security: hardening.SecurityPlan) -> dict[str, Any] | None:
    if security.gpu != hardening.NVIDIA:
        return None  # AMD's are devices alone
    return {
        "resources": {
            "reservations": {"devices": [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]},
        }
    }


def _needs(made: plan.Plan, options: rendering.Options) -> tuple[str, ...]:
    externals = [one.name for one in rendering.secrets(made).files if one.name not in options.secret_files]
    told = tuple(
        f"needs secret {name}: {options.name}-{name}, made outside (docker has those in a swarm alone: else --secret-file)"
        for name in externals
    )
    return (*told, *engine_argv.needs(made, options, engine_argv.DOCKER))


def _literal(value: Any) -> Any:
    """Return ``value`` with every dollar doubled, so that Compose reads what was meant."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {_literal(key): _literal(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_literal(one) for one in value]
    return value
