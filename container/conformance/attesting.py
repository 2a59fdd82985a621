"""What the boot itself found of its confinement, and whether it told the truth. Judges; see ``promise``."""

import json

from container.conformance import confinement
from container.conformance.promise import Judging, Subject, Unseen, Violation, counted

_SETS = {name: short for short, name in confinement.SETS.items()}
_SECCOMP = {0: "disabled", 1: "strict", 2: "filter"}
_LOOK = "look for what changed it since the boot, or do not trust the image"


def attestation(subject: Subject) -> Judging:
    """The boot found the planned profile in force, and what it attested is what is seen."""
    subject.must_be_confined()
    found, main = subject.boot.security, subject.main
    if found is None:
        yield Violation(
            "attestation", "the boot attests no profile", "boot the image in a container, by its entrypoint"
        )
        return ""
    for one in found.weaknesses:
        why = f"{one.what} is {one.found}, and the plan says {one.planned}"
        yield Violation("attestation", why, f"start the container with {one.mend}")
    if found.enforced != subject.plan.security.enforce:
        why = (
            f"the boot says that it {'enforced' if found.enforced else 'did not enforce'} the profile, unlike the plan"
        )
        yield Violation("attestation", why, _LOOK)
    if found.enforced and found.unread:
        why = f"the boot could not tell {', '.join(found.unread)}, and the plan enforces the profile"
        yield Violation("attestation", why, _LOOK)
    effective = found.effective
    seen: list[tuple[str, object, object]] = [
        ("uid", effective.uid, main.uids[1]),
        ("no_new_privileges", effective.no_new_privileges, main.no_new_privileges),
        ("seccomp", effective.seccomp, _SECCOMP.get(-1 if main.seccomp is None else main.seccomp)),
    ]
    seen += [
        (f"{name} capabilities", sorted(held), sorted(main.capabilities[_SETS[name]]))
        for name, held in effective.capabilities.items()
        if name in _SETS
    ]
    for what, told, right in seen:
        if told is not None and told != right:
            yield Violation("attestation", f"the boot attested {what} {told}, and {right} is seen", _LOOK)
    yield from _sealed(subject)
    others = [one.what for one in found.differences if one not in found.weaknesses]
    unknown = f"; not told: {', '.join(sorted(found.unknown))}" if found.unknown else ""
    return f"{counted(len(effective.capabilities), 'set')} of capabilities, as seen; other than planned: {', '.join(others) or 'nothing'}{unknown}"


def _sealed(subject: Subject) -> Judging:
    text, record = subject.inside.told.seal_hex, subject.inside.told.boot_record
    if text is None or record is None:
        raise Unseen("there is no seal that would repeat the attestation")
    try:
        sealed, booted = json.loads(bytes.fromhex(text)), json.loads(record)
        if sealed["security"] != booted["security"]:
            yield Violation("attestation", "the seal repeats another one than boot.json", _LOOK)
    except (ValueError, LookupError, TypeError) as error:
        yield Violation("attestation", f"the seal cannot be read: {error}", _LOOK)
    return ""
