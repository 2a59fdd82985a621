"""Do the parts of a plan fit? Boot must not depend on who wrote it. Standard library only; pure."""

import re

from manifest import hardening_references, plan, provisions, serving_references

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def problem(made: plan.Plan) -> str | None:
    """Say what in ``made`` does not fit, or None."""
    names = [program.name for program in made.programs]
    roles = sorted(program.role for program in made.programs if program.role != "program")
    if len(set(names)) != len(names):
        return "a program stands twice"
    if roles != ["probes", "seal", "stage-b"]:
        return "it does not hold probes, stage-b and seal once each"
    if any(not program.argv or not program.argv[0] for program in made.programs):
        return "a program has no command"
    if any(need.name not in names for program in made.programs for need in program.after):
        return "a program waits for one that does not exist"
    if any(need.condition not in {plan.READY, plan.STARTED} for program in made.programs for need in program.after):
        return "a program waits for something that is neither ready nor started"
    if any(
        not {program.on_exit, program.on_fatal} <= {plan.END, plan.DEGRADE, plan.RESTART} for program in made.programs
    ):
        return "on_exit or on_fatal of a program is neither exit, degrade nor restart"
    if not all(_is_proof(program.ready) for program in made.programs):
        return "the readiness of a program is not of a known kind, or lacks what its kind needs"
    if any(program.live is not None and program.live.check.kind not in plan.CHECK_KINDS for program in made.programs):
        return "the check of a program is not of a known kind"
    if any(name not in names for signal in made.signals for name in signal.programs):
        return "a signal is passed on to a program that does not exist"
    if reason := _misfit(made) or serving_references.problem(made) or hardening_references.problem(made):
        return reason
    if made.boot.on_failure not in {"exit", "hold"}:
        return "boot.on_failure is neither exit nor hold"
    if not made.required_programs and not made.empty_required_set:
        return "no program is required, and the manifest does not say `required: []`"
    return None


def _misfit(made: plan.Plan) -> str | None:
    """Say what does not fit in what Stage A is to provide."""
    secrets = {secret.name for secret in made.secrets}
    artifacts = {artifact.id for artifact in made.artifacts}
    manifests = {program.name for program in made.programs if program.role == "program"}
    kinds = [key.kind for key in made.identity.keys]
    if kinds[:1] != [provisions.ED25519] or len(set(kinds)) != len(kinds) or not {*kinds} <= {*provisions.KEY_KINDS}:
        return "the identity's keys are not ed25519 and, each once, others that are known"
    if any(key.secret is not None and key.secret not in secrets for key in made.identity.keys):
        return "a key comes from a secret that does not exist"
    if not all(_LABEL.fullmatch(name) for name in (*secrets, *manifests)):
        return "the name of a secret or of a program is not a DNS-1123 label, and it names files"
    if any(root.owner is not None for root in made.boot.writable) and not made.has_program_users:
        return "a writable root is another user's without the exception program-users"
    if len(secrets) != len(made.secrets) or len(artifacts) != len(made.artifacts):
        return "a secret or an artifact stands twice"
    if any(not _has_source(secret) for secret in made.secrets):
        return "a secret has no source, or more than one"
    token = serving_references.delivered_token(made)
    if token is not None and not any(plan.PROBES in secret.programs for secret in made.secrets if secret.name == token):
        return "the token of detail is a secret that the probe server does not get"
    if any(
        not {*secret.programs} <= manifests | ({plan.PROBES} if secret.name == token else set())
        for secret in made.secrets
    ):
        return "a secret is for a program that is not one of the manifest's"
    if any(not {*program.artifacts} <= artifacts for program in made.programs):
        return "a program needs an artifact that does not exist"
    if any(artifact.verify not in provisions.VERIFICATIONS for artifact in made.artifacts):
        return "an artifact's verification is neither digest, metadata nor presence"
    if made.lock is None and any(artifact.verify != provisions.PRESENCE for artifact in made.artifacts):
        return "an artifact is to be verified against a lock, and there is none"
    if any(
        (program.user is not None) != (made.has_program_users and program.name in manifests)
        for program in made.programs
    ):
        return "programs have users exactly under the exception program-users"
    if any((program.ready.kind == plan.PROTOCOL) > (program.listener is not None) for program in made.programs):
        return "the readiness of a program is an event listener's, and it is none"
    if any(program.user is not None and 0 in {program.user.uid, program.user.gid} for program in made.programs):
        return "a program's user is root"
    return None


def _has_source(secret: provisions.SecretPlan) -> bool:
    sources = [secret.file, secret.mounted, secret.variable, secret.generate_bytes]
    given = [index for index, source in enumerate(sources) if source is not None]
    return len(given) == 1 or given == [2, 3]


def _is_proof(ready: plan.ReadyPlan) -> bool:
    """Say whether ``ready`` holds what its kind needs."""
    if ready.kind in plan.CHECK_KINDS:
        return ready.check is not None and ready.check.kind == ready.kind
    needed = {plan.DESCRIPTOR: ready.descriptor, plan.LOG: ready.pattern, plan.FILE: ready.path}
    return ready.kind in plan.READY_KINDS and ready.check is None and needed.get(ready.kind, ready.kind) is not None
