"""The bill of materials of an image, as CycloneDX 1.6 in JSON (ECMA-424): what was found in its file system, and nothing else. Pure but for `write`.

Rules
-----
* It names the image by its id and is kept beside it, not in it: what an image holds must not depend on who listed it.
* Every package has a package URL (purl): ``pkg:deb`` as dpkg has it, ``pkg:pypi``, ``pkg:generic`` for the artifacts of the lock.
* A Python distribution has the SHA-256 of the wheel that it came from where pip wrote that down; an artifact has its closure's root
  digest as a property, since that is no digest of one file's content.
* The same image gives the same bytes: the time is the image's own, and the serial number is derived from what was found.
"""

import dataclasses
import hashlib
import os
import re
import uuid
from collections.abc import Iterable

import packageurl
from cyclonedx import output, schema
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model import bom as boms
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.tool import ToolRepository

from artifacts import lock as locks
from container import engines, labels, looking
from contract import errors, files, version
from manifest import plan

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:bootseal:sbom")


@dataclasses.dataclass(frozen=True)
class Subject:
    """The image that is described: called ``name`` in the engine's storage."""

    name: str
    image: engines.Image


def dump(contents: looking.Contents, subject: Subject, epoch: int) -> bytes:
    """Return the SBOM of ``subject``, which holds ``contents``; ``epoch`` is its time in seconds since 1970.

    Raises InvalidRecord when the plan or the lock in it is none.
    """
    made = plan.parse(contents.plan or b"", "plan.json in the image")
    image = _image(contents, subject, made)
    found = [*_debian(contents), *_python(contents), *_artifacts(contents, made)]
    bom = boms.Bom(
        components=found,
        serial_number=_serial(contents, subject, epoch),
        metadata=boms.BomMetaData(
            component=image, timestamp=labels.moment(epoch), tools=ToolRepository(components=[_tool()])
        ),
        dependencies=_dependencies(image, found),
    )
    return _json(bom)


def write(path: str, data: bytes) -> str:
    """Write ``data`` to the file ``path``, whole or not at all, and return its SHA-256; raises BootsealError."""
    try:
        files.write_atomically(os.path.abspath(path), data, 0o644)
    except OSError as error:
        raise errors.BootsealError(
            f"file {path}", errors.describe_os_error(error), "name another with --sbom"
        ) from error
    return hashlib.sha256(data).hexdigest()


def _serial(contents: looking.Contents, subject: Subject, epoch: int) -> uuid.UUID:
    facts = (contents, subject, epoch, version.VERSION)
    return uuid.uuid5(_NAMESPACE, hashlib.sha256(repr(facts).encode()).hexdigest())


def _json(bom: boms.Bom) -> bytes:
    made = output.make_outputter(bom, schema.OutputFormat.JSON, schema.SchemaVersion.V1_6)
    return made.output_as_string(indent=2).encode() + b"\n"


def _tool() -> Component:
    return Component(name="bootseal", type=ComponentType.APPLICATION, version=version.VERSION, bom_ref="bootseal-tool")


def _image(contents: looking.Contents, subject: Subject, made: plan.Plan) -> Component:
    digests = {labels.PLAN: contents.plan, labels.LOCK: contents.lock}
    facts = {name: hashlib.sha256(data).hexdigest() for name, data in digests.items() if data is not None}
    facts[labels.MANIFEST] = made.manifest_sha256
    if not contents.packages:
        facts["io.bootseal.sbom.incomplete"] = "no packages of the base: dpkg has listed none"
    if contents.nameless:
        facts["io.bootseal.sbom.nameless"] = " ".join(contents.nameless)
    return Component(
        name=made.name,
        type=ComponentType.CONTAINER,
        version=f"sha256:{subject.image.id}",
        bom_ref=f"sha256:{subject.image.id}",
        purl=_oci(subject),
        properties=_properties(facts),
    )


def _oci(subject: Subject) -> packageurl.PackageURL | None:
    if subject.image.digest is None:
        return None
    repository = re.sub(r":[^/:]*$", "", subject.name)
    qualifiers = {"arch": subject.image.architecture, "repository_url": repository}
    return packageurl.PackageURL("oci", None, repository.rsplit("/", 1)[-1], subject.image.digest, qualifiers)


def _debian(contents: looking.Contents) -> Iterable[Component]:
    release = contents.release
    vendor = release.get("ID", "debian")
    distro = f"{vendor}-{release['VERSION_ID']}" if "VERSION_ID" in release else vendor
    if release:
        yield Component(
            name=vendor,
            type=ComponentType.OPERATING_SYSTEM,
            version=release.get("VERSION_ID"),
            bom_ref=f"os:{distro}",
            description=release.get("PRETTY_NAME"),
        )
    for one in contents.packages:
        qualifiers = {"arch": one.architecture, "distro": distro}
        yield _component(
            one.name,
            one.version,
            packageurl.PackageURL("deb", vendor, one.name, one.version, qualifiers),
            {"io.bootseal.debian.source": one.source},
        )


def _python(contents: looking.Contents) -> Iterable[Component]:
    for one in contents.distributions:
        name = re.sub(r"[-_.]+", "-", one.name).lower()  # PEP 503, as a purl has it
        found = packageurl.PackageURL("pypi", None, name, one.version)
        yield _component(one.name, one.version, found, {"io.bootseal.path": one.path}, one.sha256)


def _artifacts(contents: looking.Contents, made: plan.Plan) -> Iterable[Component]:
    if contents.lock is None:
        return
    for one in locks.parse(contents.lock, "closures.lock in the image").closures:
        facts = {"io.bootseal.path": one.path, "io.bootseal.kind": one.kind, "io.bootseal.closure.sha256": one.sha256}
        found = packageurl.PackageURL("generic", made.name, one.id)
        yield _component(one.id, None, found, facts, type_=ComponentType.FILE)


def _component(
    name: str,
    version_: str | None,
    purl: packageurl.PackageURL,
    facts: dict[str, str],
    sha256: str = "",
    *,
    type_: ComponentType = ComponentType.LIBRARY,
) -> Component:
    place = facts.get("io.bootseal.path", "")
    return Component(
        name=name,
        type=type_,
        version=version_,
        bom_ref=f"{purl.to_string()}#{place}" if place else purl.to_string(),
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else [],
        properties=_properties(facts),
    )


def _properties(facts: dict[str, str]) -> list[Property]:
    return [Property(name=name, value=value) for name, value in facts.items()]


def _dependencies(image: Component, found: list[Component]) -> list[Dependency]:
    parts = [Dependency(one.bom_ref) for one in found]
    return [Dependency(image.bom_ref, dependencies=parts), *parts]
