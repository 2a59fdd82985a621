"""The rules of secrets and keys: where each comes from and who gets it.

Pure functions over a sound manifest; each says which codes of ``manifest.rules`` it gives.
"""

from manifest import order, provision_model, provisions, tree
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject

_OURS = frozenset({"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "TMPDIR"})
"""What programs get from bootseal itself."""
SOURCES = ("generate", "file", "mounted", "variable")


def check(subject: Subject, findings: Findings) -> None:
    """Add a finding for every rule of this module that the manifest breaks."""
    for name, secret in subject.model.secrets.items():
        if not subject.was_cut("secrets", name):
            _check_source(subject, name, secret, findings)
        _check_receivers(subject, name, secret, findings)
    _check_variables(subject, findings)
    _check_directory(subject, findings)
    _check_keys(subject, findings)


def _check_source(subject: Subject, name: str, secret: provision_model.Secret, findings: Findings) -> None:
    """E077: a secret has one source; a variable that is not set may be made up for by generating."""
    given = [source for source in SOURCES if getattr(secret, source) is not None]
    if len(given) == 1 or set(given) == {"generate", "variable"}:
        return
    place = tree.key_place(subject.root, ("secrets", name))
    if given:
        message = f"the secret {quote(name)} comes from `{given[0]}` and from `{given[1]}`: there is one source"
        findings.add("E077", place, message, "keep one of them")
    else:
        message = f"the secret {quote(name)} comes from nowhere: it has no source"
        findings.add("E077", place, message, f"add one of {', '.join(SOURCES)}")


def _check_receivers(subject: Subject, name: str, secret: provision_model.Secret, findings: Findings) -> None:
    """E052, E054, W005: programs that exist, each once; and somebody."""
    seen: set[str] = set()
    for index, program in enumerate(secret.programs):
        place = tree.place_of(subject.root, ("secrets", name, "programs", index))
        if program in seen:
            findings.add("E054", place, f"{quote(program)} stands twice in this list", "keep one of them")
        seen.add(program)
        order.is_program(subject, program, place, "it gets no secrets", findings)
    token = subject.model.probes.detail.token
    is_ours = any(key.secret == name for key in subject.model.identity.keys.values())
    is_ours |= token is not None and token.secret == name
    is_doubtful = any(subject.was_cut(*path) for path in (("secrets", name), ("identity",), ("probes",)))
    if not secret.programs and not is_doubtful and (secret.env is not None or not is_ours):
        message = f"nobody gets the secret {quote(name)}"
        message += f" as {secret.env}" if secret.env is not None else ""
        place = tree.key_place(subject.root, ("secrets", name))
        findings.add("W005", place, message, "name programs under `programs`, or remove it")


def _check_variables(subject: Subject, findings: Findings) -> None:
    """E080, E081: a program's variable has one value, and no program inherits what is for others."""
    manifest = subject.model
    for index, variable in enumerate(manifest.boot.environment):
        holder = next((name for name, secret in manifest.secrets.items() if secret.variable == variable), None)
        if holder is not None:
            place = tree.place_of(subject.root, ("boot", "environment", index))
            message = f"every program would inherit {quote(variable)}: it holds the secret {quote(holder)}"
            remedy = f"remove it here; `secrets.{holder}.programs` says who gets it"
            findings.add("E081", place, message, remedy)
    wanted = manifest.identity.id.env
    holder = next((name for name, secret in manifest.secrets.items() if wanted and secret.variable == wanted), None)
    if holder is not None:
        place = tree.place_of(subject.root, ("identity", "id", "env"))
        message = f"everybody reads the identity, and {quote(str(wanted))} holds the secret {quote(holder)}"
        findings.add("E081", place, message, "choose another name")
    owners: dict[tuple[str, str], str] = {}
    for name, secret in manifest.secrets.items():
        if secret.variable is not None and provisions.is_inherited(secret.variable):
            place = tree.place_of(subject.root, ("secrets", name, "variable"))
            message = f"every program inherits {quote(secret.variable)}: it cannot hold the secret {quote(name)}"
            findings.add("E081", place, message, "choose another name")
        for program in secret.programs:
            if secret.env is None or program not in manifest.programs:
                continue
            place = tree.place_of(subject.root, ("secrets", name, "env"))
            owner = owners.setdefault((program, secret.env), name)
            if owner != name:
                message = f"{quote(program)} would get {secret.env} twice: from the secret {quote(owner)} as well"
                findings.add("E080", place, message, "choose another name")
            elif secret.env in _OURS or provisions.is_inherited(secret.env):
                message = f"{quote(program)} would get {secret.env} twice: bootseal gives it to programs itself"
                findings.add("E080", place, message, "choose another name")
            elif secret.env in manifest.programs[program].environment:
                message = f"{quote(program)} would get {secret.env} twice: its `environment` has it as well"
                findings.add("E080", place, message, "choose another name")


def _check_directory(subject: Subject, findings: Findings) -> None:
    """E080: the directory of a program's secrets is said by bootseal."""
    getting = {program for secret in subject.model.secrets.values() for program in secret.programs}
    for name in getting & subject.model.programs.keys():
        if "CREDENTIALS_DIRECTORY" in subject.model.programs[name].environment:
            place = tree.key_place(subject.root, ("programs", name, "environment", "CREDENTIALS_DIRECTORY"))
            message = f"{quote(name)} would get CREDENTIALS_DIRECTORY twice: it names where its secrets are"
            findings.add("E080", place, message, "remove it")


def _check_keys(subject: Subject, findings: Findings) -> None:
    """E078, E082, E087: a key comes from one place, that is there and gives the same key at each boot."""
    known = subject.names("secrets")
    for kind, key in subject.model.identity.keys.items():
        path: tree.Path = ("identity", "keys", kind)
        if key.file is not None and key.secret is not None:
            place = tree.key_place(subject.root, (*path, "secret"))
            message = f"the key {kind} comes from a `file` and from a `secret`: there is one source"
            findings.add("E082", place, message, "keep one of them")
        if key.secret is not None and key.secret not in known:
            nearest = findings.nearest(key.secret, known)
            remedy = f"write {quote(nearest)}" if nearest else "define it under `secrets`"
            place = tree.place_of(subject.root, (*path, "secret"))
            message = f"unknown secret {quote(key.secret)}: nothing under `secrets` has this name"
            findings.add("E078", place, message, remedy)
        secret = subject.model.secrets.get(key.secret or "")
        if secret is not None and secret.generate is not None:
            place = tree.place_of(subject.root, (*path, "secret"))
            message = f"the key {kind} would be generated: {quote(str(key.secret))} is made anew at each boot"
            findings.add("E087", place, message, "take `generate` from the secret, or `secret` from the key")
