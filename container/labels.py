"""What an image says about itself: labels and exposed ports, all of it read from the plan in the image. Pure.

Rules
-----
* The keys ``org.opencontainers.image.…`` are those of the OCI image specification (annotations.md); ``io.bootseal.…`` are ours.
* The digests are of the bytes in the image: whoever reads a label can tell whether the files beside it are those.
"""

import datetime as dt
import hashlib

from container import engines
from contract import errors
from manifest import exposure, plan

OCI = "org.opencontainers.image"
BASE_NAME, BASE_DIGEST = f"{OCI}.base.name", f"{OCI}.base.digest"
MANIFEST, PLAN, LOCK = (f"io.bootseal.{name}.sha256" for name in ("manifest", "plan", "lock"))
VERSION = "io.bootseal.version"
PLACE = "bootseal.plan"
_OURS = ("io.bootseal.", "bootseal.")


class RefusedLabel(errors.BootsealError):
    """A label that somebody wants cannot be."""


def labels(data: bytes, lock: bytes | None, base: engines.Base | None, epoch: int) -> dict[str, str]:
    """Return the labels of an image with the plan file ``data`` and the ``lock``, made upon ``base`` where that is known.

    ``epoch`` is its time in seconds since 1970. Raises InvalidRecord when the plan is none.
    """
    made = plan.parse(data, "plan.json in the image")
    found = {
        f"{OCI}.title": made.name,
        f"{OCI}.description": f"{made.name}, booted and sealed by bootseal",
        f"{OCI}.version": made.bootseal,
        f"{OCI}.created": moment(epoch).isoformat().replace("+00:00", "Z"),
        PLACE: f"{made.prefix}/etc/{plan.PLAN_FILE}",
        VERSION: made.bootseal,
        MANIFEST: made.manifest_sha256,
        PLAN: hashlib.sha256(data).hexdigest(),
    }
    if base:
        found |= {BASE_NAME: base.name} | ({BASE_DIGEST: base.image.digest} if base.image.digest else {})
    if lock is not None:
        found[LOCK] = hashlib.sha256(lock).hexdigest()
    return found


def wished(texts: tuple[str, ...]) -> dict[str, str]:
    """Return the labels that ``texts`` of the form KEY=VALUE wish for; raises RefusedLabel."""
    found = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key or not text.isprintable():
            raise RefusedLabel(
                f"label {text!r}", "it is not of the form KEY=VALUE", f"write for example {OCI}.source=URL"
            )
        if key.startswith(_OURS) or key in {BASE_NAME, BASE_DIGEST}:
            raise RefusedLabel(
                f"label {key}", "it is read from the image, so that nobody has to believe it", "leave it out"
            )
        found[key] = value
    return found


def moment(epoch: int) -> dt.datetime:
    """Return the time ``epoch`` seconds after 1970 began, in UTC."""
    return dt.datetime.fromtimestamp(epoch, dt.UTC)


def exposing(image: str, data: bytes) -> str:
    """Return the Containerfile that adds to ``image`` the ports which its plan file ``data`` has for others."""
    ports = exposure.exposed_ports(plan.parse(data, "plan.json in the image"))
    lines = [f"FROM {image}", *(["EXPOSE " + " ".join(f"{port}/tcp" for port in ports)] if ports else [])]
    return "\n".join(lines) + "\n"
