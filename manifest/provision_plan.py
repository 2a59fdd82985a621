"""What Stage A provides: from the manifest's sections to the plan."""

from manifest import hardening_model, locked, model, plan, provision_model, provisions, tree
from manifest.resolver import Resolver


def identity(written: provision_model.Identity, resolver: Resolver) -> provisions.IdentityPlan:
    """Return who the container is; the key that signs the seal is always among its keys, and first."""
    keys = {provisions.ED25519: provision_model.Key(), **written.keys}
    return provisions.IdentityPlan(
        env=written.id.env,
        default=written.id.default,
        store=None if written.store is None else resolver.scope.real_path(written.store) or written.store,
        keys=tuple(
            provisions.KeyPlan(
                kind, _optional_path(resolver, ("identity", "keys", kind, "file"), keys[kind].file), keys[kind].secret
            )
            for kind in provisions.KEY_KINDS
            if kind in keys
        ),
    )


def secrets(manifest: model.Manifest, resolver: Resolver) -> tuple[provisions.SecretPlan, ...]:
    """Return the secrets as they are written; the one that guards detail is delivered to the probe server as well."""
    token = manifest.probes.detail.token
    guard = None if token is None else token.secret
    return tuple(
        provisions.SecretPlan(
            name=name,
            generate_bytes=secret.generate,
            file=_file(name, secret, resolver),
            mounted=None
            if resolver.is_relocated
            else _optional_path(resolver, ("secrets", name, "mounted"), secret.mounted),
            variable=secret.variable,
            environment=secret.env,
            programs=(*secret.programs, plan.PROBES) if name == guard else tuple(secret.programs),
        )
        for name, secret in manifest.secrets.items()
    )


def _file(name: str, secret: provision_model.Secret, resolver: Resolver) -> str | None:
    """Return the file that holds ``secret``; outside a container nothing is mounted, and a file will do."""
    if secret.mounted is not None and resolver.is_relocated:
        return _optional_path(resolver, ("secrets", name, "mounted"), secret.mounted)
    return _optional_path(resolver, ("secrets", name, "file"), secret.file)


def artifacts(manifest: model.Manifest, resolver: Resolver) -> tuple[plan.ArtifactPlan, ...]:
    """Return the artifacts, as yet verified by their presence alone."""
    return tuple(_artifact(name, artifact, resolver) for name, artifact in manifest.artifacts.items())


def _artifact(name: str, written: provision_model.Artifact, resolver: Resolver) -> plan.ArtifactPlan:
    path = resolver.path(("artifacts", name, "path"), written.path)
    check = None
    if written.check is not None:
        here: tree.Path = ("artifacts", name, "check", "exec")
        argv = tuple(resolver.text((*here, index), item) for index, item in enumerate(written.check.exec))
        check = provisions.ArtifactCheck(argv, path, written.check.timeout)
    return plan.ArtifactPlan(name, path, written.required, written.kind, provisions.PRESENCE, check)


def lock(found: locked.Lock, here: str) -> provisions.LockPlan | None:
    """Return what the artifacts are locked to."""
    return provisions.LockPlan(found.sha256, here) if isinstance(found, locked.Locked) else None


def exceptions(security: hardening_model.Security) -> tuple[provisions.ExceptionPlan, ...]:
    """Return the exceptions from the hardened baseline, by name."""
    return tuple(provisions.ExceptionPlan(name, one.reason) for name, one in sorted(security.exceptions.items()))


def _optional_path(resolver: Resolver, place: tree.Path, path: str | None) -> str | None:
    return None if path is None else resolver.path(place, path)
