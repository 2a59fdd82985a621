"""A seal judged by its record, the public key and the plan's directory alone."""

import base64
import contextlib
import dataclasses
import hashlib
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from hypothesis import given
from hypothesis import strategies as st

from artifacts import closure, lock
from contract import attested, errors, files
from manifest import plan, provisions
from seal import outside, record, signing_key
from tests.unit import boots

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
LOCK = closure.Lock(
    (
        closure.make("api", "file", "./api", [closure.file("./api", 0o755, 3, "ab" * 32)]),
        closure.make("tool", "file", "/opt/tool", [closure.file("/opt/tool", 0o755, 3, "cd" * 32)]),
    )
)
API, TOOL = (one.sha256 for one in LOCK.closures)
LOCK_DATA = lock.dump(LOCK)


@dataclasses.dataclass
class Case:
    """A sealed container's record, and the plan directory of its image."""

    directory: str
    image: outside.Image
    sealed: dict[str, Any]

    def data(self, **changes) -> bytes:
        return record.sign({**self.sealed, **changes}, KEY)

    def artifacts(self, **changes):
        """Return the sealed artifacts with ``changes`` to the second, the optional ``tool``."""
        api, tool = self.sealed["artifacts"]
        return [api, {**tool, **changes}]

    def judge(self, generation=None, **changes) -> record.Record:
        return outside.judge(self.data(**changes), PUBLIC, self.image, generation)


def write(directory: str, the_plan: plan.Plan, lock_data: bytes | None = None) -> None:
    os.makedirs(directory, exist_ok=True)
    for name, data in ((plan.PLAN_FILE, plan.dump(the_plan)), (plan.LOCK_FILE, lock_data)):
        if data is not None:
            files.write_atomically(f"{directory}/{name}", data, 0o644)


def make_plan(**changes) -> plan.Plan:
    artifacts = (
        provisions.ArtifactPlan("api", "/img/api", required=True, verify="digest"),
        provisions.ArtifactPlan("tool", "/opt/tool", required=False, verify="metadata"),
    )
    locked = provisions.LockPlan(hashlib.sha256(LOCK_DATA).hexdigest(), "/img")
    return boots.make_plan(
        boots.program("api", artifacts=("api",)), **{"artifacts": artifacts, "lock": locked, **changes}
    )


@pytest.fixture
def case(tmp_path) -> Case:
    directory = f"{tmp_path}/plan"
    write(directory, make_plan(), LOCK_DATA)
    return good(directory, outside.read_plan(directory))


def good(directory: str, image: outside.Image) -> Case:
    """Return what a good boot of ``image`` seals."""
    assert image.loaded.plan.lock is not None
    sealed = {
        "schema": record.SCHEMA, "boot_id": boots.BOOT_ID, "generation": 2, "pid1_start": 4711, "sealed_at": boots.WALL,
        "elapsed_seconds": 1.25, "manifest_sha256": image.loaded.plan.manifest_sha256,
        "plan_sha256": image.loaded.sha256, "lock_sha256": image.loaded.plan.lock.sha256,
        "identity": {"id": "box", "ed25519": base64.b64encode(PUBLIC).decode()},
        "artifacts": [
            {"id": "api", "sha256": API, "verified": "digest", "usable": True, "required": True},
            {"id": "tool", "sha256": TOOL, "verified": "metadata", "usable": True, "required": False},
        ],
        "security": boots.attested_security().plain(),
        "programs": [
            {"name": "api", "state": "RUNNING", "pid": 100, "pid_start": 1000, "ready_by": "running for 1s",
             "ready_at": boots.WALL},
        ],
        "late": False,
    }  # fmt: skip
    return Case(directory, image, sealed)


def test_a_seal_is_accepted_with_nothing_but_the_key_and_the_plan(case):
    sealed = case.judge()
    assert (sealed.generation, sealed.artifacts[0].sha256) == (2, API)
    assert case.judge(generation=2) == sealed


REFUSALS = [
    ({"plan_sha256": "00" * 32}, outside.NotThisPlan, "its plan_sha256 is 00", "the image was built with"),
    ({"manifest_sha256": "00" * 32}, outside.NotThisPlan, "its manifest_sha256 is 00", "do not trust"),
    ({"lock_sha256": "00" * 32}, outside.NotThisPlan, "its lock_sha256 is 00", "do not trust"),
    ({"lock_sha256": None}, outside.NotThisPlan, "its lock_sha256 is null", "do not trust"),
    ({"programs": []}, outside.NotThisPlan, "programs are not the plan's required ones, api", "do not trust"),
    ({"artifacts": []}, outside.NotThisPlan, "artifacts are not the plan's, api, tool", "do not trust"),
    ({"security": None}, outside.NotThisPlan, "does not say under which security profile", "do not trust"),
    (
        {"security": boots.attested_security(enforced=True).plain()},
        outside.NotThisPlan,
        "was enforced, unlike the plan",
        "do not trust",
    ),
    ({"schema": "bootseal.seal/1"}, errors.InvalidRecord, "schema is bootseal.seal/1", "version of bootseal"),
]


@pytest.mark.parametrize(("changes", "kind", "why", "remedy"), REFUSALS, ids=lambda value: str(value)[:40])
def test_a_well_signed_seal_that_says_something_else_is_refused_with_its_own_reason(case, changes, kind, why, remedy):
    with pytest.raises(kind) as refused:
        case.judge(**changes)
    assert type(refused.value) is kind
    assert why in refused.value.why and remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sha256": "00" * 32}, "its root digest is 00"),
        ({"sha256": None}, "its root digest is null in the seal"),
        ({"sha256": API}, "its root digest"),
        ({"verified": "presence"}, "verified by presence, and the plan demands metadata"),
        ({"usable": False, "sha256": "00" * 32}, "its root digest is 00"),
    ],
    ids=str,
)
def test_an_artifact_that_is_not_as_the_lock_and_the_plan_have_it_is_refused_by_name(case, changes, why):
    with pytest.raises(outside.NotThisPlan) as refused:
        case.judge(artifacts=case.artifacts(**changes))
    assert refused.value.what == "artifact tool in seal" and why in refused.value.why and refused.value.remedy


def test_an_optional_artifact_that_was_not_usable_is_shown_and_a_required_one_is_refused(case):
    unusable = case.judge(artifacts=case.artifacts(usable=False, verified="presence"))
    assert not unusable.artifacts[1].usable
    api = {**case.sealed["artifacts"][0], "usable": False}
    with pytest.raises(outside.NotThisPlan, match="was not usable, and it is required"):
        case.judge(artifacts=[api, case.sealed["artifacts"][1]])
    for changes in ({"required": True}, {"id": "other"}):
        with pytest.raises(outside.NotThisPlan, match="its artifacts are not the plan's"):
            case.judge(artifacts=case.artifacts(**changes))


def enforcing(path, **found) -> Case:
    """Return a case whose plan enforces its profile, sealed with what was ``found``."""
    write(path, make_plan(security=boots.security(enforce=True)), LOCK_DATA)
    image = outside.read_plan(path)
    security = boots.attested_security(**found).plain()
    sealed = {**good(path, image).sealed, "security": security}
    return Case(path, image, sealed)


WEAK = attested.Difference("memory", "1 GiB", "unlimited", weaker=True, mend="--memory=1g")
EXCUSED = attested.Difference("pids", "1024", "unlimited", weaker=True, mend="")


def test_a_profile_that_the_plan_enforces_was_enforced_and_cannot_have_been_weaker(tmp_path):
    sealed = enforcing(f"{tmp_path}/a", enforced=True, differences=(EXCUSED,)).judge()
    assert sealed.security is not None and sealed.security.differences == (EXCUSED,)
    with pytest.raises(outside.NotThisPlan, match="was not enforced, unlike the plan"):
        enforcing(f"{tmp_path}/b", enforced=False).judge()
    with pytest.raises(outside.NotThisPlan, match="weaker than planned: memory"):
        enforcing(f"{tmp_path}/c", enforced=True, differences=(EXCUSED, WEAK)).judge()


def test_a_profile_that_the_plan_enforces_was_read_back_but_for_what_nobody_can_read(tmp_path):
    excused = dict.fromkeys((attested.NETWORK, attested.DENIED, "pids"), "why")
    enforcing(f"{tmp_path}/a", enforced=True, unknown=excused).judge()
    with pytest.raises(outside.NotThisPlan, match="was not read back whole: seccomp"):
        enforcing(f"{tmp_path}/b", enforced=True, unknown={**excused, "seccomp": "why"}).judge()


def test_a_weaker_profile_that_nobody_enforced_is_told_and_accepted(case):
    sealed = case.judge(security=boots.attested_security(differences=(WEAK,)).plain())
    assert sealed.security is not None and sealed.security.weaknesses == (WEAK,)


def test_another_generation_than_the_one_asked_for_is_refused(case):
    with pytest.raises(record.NotThisBoot, match=r"its generation is 2, and 1 was asked for \(take the seal"):
        case.judge(generation=1)


def test_another_containers_seal_and_an_edited_one_are_told_apart(case):
    other = ed25519.Ed25519PrivateKey.generate()
    named = {"id": "box", "ed25519": base64.b64encode(other.public_key().public_bytes_raw()).decode()}
    with pytest.raises(record.BadSignature, match=r"it names the key .* not the given one"):
        outside.judge(record.sign({**case.sealed, "identity": named}, other), PUBLIC, case.image)
    with pytest.raises(record.BadSignature, match="signature is not by the given one, or it was edited"):
        outside.judge(record.sign(case.sealed, other), PUBLIC, case.image)
    with pytest.raises(record.BadSignature, match="or it was edited"):
        outside.judge(case.data().replace(b'"generation": 2', b'"generation": 3'), PUBLIC, case.image)


def test_a_seal_edited_by_one_byte_anywhere_is_refused(case):
    data = case.data()
    for position in range(len(data)):
        edited = bytearray(data)
        edited[position] ^= 1
        with pytest.raises(errors.BootsealError):
            outside.judge(bytes(edited), PUBLIC, case.image)


@pytest.mark.parametrize(
    ("changes", "generation", "what"),
    [
        ({"plan_sha256": "0" * 64}, None, "seal /f"),
        ({"programs": []}, None, "seal /f"),
        ({"late": 1}, None, "seal /f"),
        ({"artifacts": []}, None, "seal /f"),
        ({}, 1, "seal /f"),
    ],
    ids=["plan", "programs", "type", "artifacts", "generation"],
)
def test_every_refusal_names_the_file(case, changes, generation, what):
    with pytest.raises(errors.BootsealError) as refused:
        outside.judge(case.data(**changes), PUBLIC, case.image, generation, "seal /f")
    assert refused.value.what == what
    other = ed25519.Ed25519PrivateKey.generate()
    for data in (b"", b"x", record.sign(case.sealed, other), case.data()[:-1], b" " * (record.LIMIT + 1)):
        with pytest.raises(errors.BootsealError) as refused:
            outside.judge(data, PUBLIC, case.image, None, "seal /f")
        assert refused.value.what == "seal /f"
    with pytest.raises(outside.NotThisPlan, match=r"^artifact tool in seal /f: "):
        outside.judge(case.data(artifacts=case.artifacts(sha256="0" * 64)), PUBLIC, case.image, None, "seal /f")


@pytest.mark.parametrize("data", [b"{}\n", b'{"payloadType": "application/vnd.in-toto+json"}\n', b'{"schema": 1}\n'])
def test_another_file_than_a_seal_is_called_so(case, data):
    with pytest.raises(
        errors.InvalidRecord, match=r"it is no seal \(a seal is the file bootstrap\.done of a container\)"
    ):
        outside.judge(data, PUBLIC, case.image)


def test_the_lock_in_the_directory_is_the_one_that_the_plan_names(case):
    path = f"{case.directory}/{plan.LOCK_FILE}"
    for data in (b"", LOCK_DATA[:-1], LOCK_DATA + b"\n", LOCK_DATA.replace(b"0755", b"0777", 1)):
        files.write_atomically(path, data, 0o644)
        with pytest.raises(errors.InvalidRecord) as refused:
            outside.read_plan(case.directory)
        assert refused.value.what == f"lock {path}" and refused.value.remedy
    os.unlink(path)
    with pytest.raises(errors.InvalidRecord, match=r"closures\.lock") as refused:
        outside.read_plan(case.directory)
    assert refused.value.remedy == "copy the whole directory that `bootseal build` wrote"


def test_a_plan_without_a_lock_has_artifacts_without_digests(tmp_path):
    artifacts = (provisions.ArtifactPlan("api", "/img/api", required=True),)
    write(f"{tmp_path}/plan", make_plan(artifacts=artifacts, lock=None), LOCK_DATA)
    image = outside.read_plan(f"{tmp_path}/plan")
    assert image.closures is None, "a lock that the plan does not name says nothing"
    found = record.Artifact("api", None, "presence", usable=True, required=True)
    sealed = {
        **boots.container(f"{tmp_path}/run").unsigned(), "plan_sha256": image.loaded.sha256,
        "artifacts": [dataclasses.asdict(found)], "identity": {"id": "box", "ed25519": base64.b64encode(PUBLIC).decode()},
    }  # fmt: skip
    assert outside.judge(record.sign(sealed, KEY), PUBLIC, image).artifacts == (found,)
    claimed = [dataclasses.asdict(dataclasses.replace(found, sha256=API))]
    with pytest.raises(outside.NotThisPlan, match="and not in the lock"):
        outside.judge(record.sign({**sealed, "artifacts": claimed}, KEY), PUBLIC, image)


# --- the key ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        signing_key.public_pem(KEY), base64.b64encode(PUBLIC), base64.b64encode(PUBLIC) + b"\n", PUBLIC.hex().encode(),
        b" " + PUBLIC.hex().upper().encode() + b"\r\n",
    ],
    ids=["pem", "base64", "base64 and newline", "hex", "HEX"],
)  # fmt: skip
def test_a_key_is_read_in_each_of_its_spellings(tmp_path, data):
    files.write_atomically(f"{tmp_path}/key", data, 0o644)
    assert outside.read_key(f"{tmp_path}/key") == PUBLIC


def pem(key) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip


PRIVATE = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
UNSUPPORTED = (
    b"-----BEGIN PUBLIC KEY-----\n"
    + base64.b64encode(bytes.fromhex("300b300506032a03040302 0001"))
    + b"\n-----END PUBLIC KEY-----\n"
)
"""A well-formed SubjectPublicKeyInfo of the algorithm 1.2.3.4, which nobody has."""


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no Ed25519 public key"), (b"garbage", "no Ed25519"), (PUBLIC.hex().encode()[:-1], "no Ed25519"),
        (base64.b64encode(PUBLIC + b"x"), "no Ed25519"), (b"\xff" * 32, "no Ed25519"), (PRIVATE, "private key"),
        (b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "not a PEM"), (UNSUPPORTED, "not a PEM"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "another kind"),
        (pem(x25519.X25519PrivateKey.generate()), "another kind"),
    ],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_public_ed25519_key_is_refused_with_the_remedy(data, why):
    with pytest.raises(errors.InvalidRecord, match=why) as refused:
        outside.parse_key(data, "key k")
    assert refused.value.remedy
    assert KEY.private_bytes_raw().hex() not in str(refused.value)


@given(st.binary(max_size=100) | st.binary(max_size=60).map(lambda data: b"-----BEGIN PUBLIC KEY-----\n" + data))
def test_any_bytes_are_a_key_of_32_bytes_or_refused(data):
    with contextlib.suppress(errors.InvalidRecord):
        assert len(outside.parse_key(data, "key")) == 32


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for read in (outside.read_key, outside.read_seal, outside.read_plan):
        with pytest.raises(errors.InvalidRecord, match=f"{tmp_path}/absent") as refused:
            read(f"{tmp_path}/absent")
        assert refused.value.remedy
