"""The seal: is it this boot's, signed by its key, and what PID 1 saw written? Judges; see ``promise``.

Rules
-----
* The record is judged here, by the given plan and this machine's code, and once more in the container, by what an operator would
  ask: ``bootseal verify --live``. Both must accept it.
* Current means: of this generation, and the bytes that PID 1 saw written. A program that was started again since is named in the
  evidence; whether it is ready is the programs' promise.
"""

import base64
import hashlib
import json

from container.conformance.promise import Judging, Subject, Unseen, Violation
from contract import errors
from seal import record

VERIFY = "verify"
"""What is run in the container: ``bootseal verify --live``."""
_BOOT_ANEW = "do not trust this container; look for what wrote it"


def accepted(subject: Subject) -> Judging:
    """The seal is signed by this boot's key, for this boot and the given plan."""
    text = subject.inside.told.seal_hex
    if text is None:
        yield Violation(subject.run.seal, "it is not there", "wait until the container is ready, or ask `bootseal why`")
        return ""
    try:
        boot, main = subject.boot, subject.main
        key = record.raw_public_key(boot)
        wanted = record.Expected(boot.boot_id, boot.generation, main.start, subject.plan_sha256, key)
        sealed = record.accept(bytes.fromhex(text), wanted)
    except Unseen as error:
        yield Violation("boot.json", str(error), "boot the container by bootseal's entrypoint")
        return ""
    except errors.BootsealError as error:
        yield Violation(error.what, error.why, error.remedy or _BOOT_ANEW)
        return ""
    names = [one.name for one in subject.plan.required_programs]
    if [one.name for one in sealed.programs] != names:
        why = f"it seals {', '.join(one.name for one in sealed.programs) or 'nothing'}, and the plan requires {', '.join(names) or 'nothing'}"
        yield Violation("seal", why, _BOOT_ANEW)
    fingerprint = hashlib.sha256(base64.b64decode(sealed.identity.ed25519)).hexdigest()[:16]
    return f"{sealed.identity.id}, key {fingerprint}, {sealed.sealed_at}{', late' if sealed.late else ''}"


def current(subject: Subject) -> Judging:
    """The seal is the one that PID 1 saw written in this generation."""
    text = subject.inside.told.seal_hex
    try:
        seen = subject.ledger.seal
    except Unseen as error:
        yield Violation("ledger", str(error), "look at the container's log")
        return ""
    if text is None or seen is None:
        shown = subject.run.seal if text is None else "PID 1's ledger"
        yield Violation(shown, "there is no seal of this generation", "wait until the container is ready")
        return ""
    found = hashlib.sha256(bytes.fromhex(text)).hexdigest()
    if found != seen.sha256:
        why = f"its sha256 is {found}, and PID 1 saw {seen.sha256} written"
        yield Violation(subject.run.seal, why, _BOOT_ANEW)
    return f"sha256 {found[:16]}, written {seen.at}"


def verified(subject: Subject) -> Judging:
    """`bootseal verify --live` accepts the seal in the container."""
    done = subject.inside.told.ran[VERIFY]
    try:  # a refusal is told on stderr too
        said = json.loads(done.output[done.output.find("{") : done.output.rfind("}") + 1])
    except ValueError:
        said = {}
    if done.code != 0 or said.get("accepted") is not True:
        refusal = said.get("refusal") or {}
        why = refusal.get("why") or f"it exited {done.code} and said: {done.output.strip()[:200] or 'nothing'}"
        yield Violation("bootseal verify --live", str(why), str(refusal.get("remedy") or _BOOT_ANEW))
        return ""
    changes = [f"{one.get('program')} {one.get('what')}" for one in said.get("changes", ())]
    return f"accepted; since then {', '.join(changes) or 'nothing restarted'}"
