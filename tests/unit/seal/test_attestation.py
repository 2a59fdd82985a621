"""The in-toto statement, judged by libraries that are not ours: securesystemslib (DSSE) and in-toto-attestation."""

import base64
import json

import google.protobuf.json_format
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ed25519
from in_toto_attestation.v1 import statement as in_toto
from in_toto_attestation.v1 import statement_pb2
from securesystemslib import dsse, exceptions
from securesystemslib.signer import SSlibKey

from seal import attestation, record
from tests.unit import boots

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
ROOT = "cd" * 32


def artifact(name, **changes):
    return {"id": name, "sha256": ROOT, "verified": "digest", "usable": True, "required": True, **changes}


@pytest.fixture
def unsigned(tmp_path):
    return boots.container(f"{tmp_path}/run").unsigned(lock_sha256="ef" * 32, artifacts=[artifact("api")])


def read(data):
    return dsse.Envelope.from_dict(json.loads(data))


def verified(data, key=KEY):
    """Return the payload after securesystemslib verified the signature, the key's id computed by it alone."""
    envelope = read(data)
    envelope.verify([SSlibKey.from_crypto(key.public_key())], 1)
    return json.loads(envelope.payload)


def subjects(value):
    return {subject["name"]: subject["digest"] for subject in value["subject"]}


def test_a_library_that_is_not_ours_verifies_the_envelope_and_validates_the_statement(unsigned):
    data = attestation.envelope(unsigned, KEY)
    assert data.endswith(b"}\n") and data.count(b"\n") == 1
    value = verified(data)
    assert read(data).payload_type == "application/vnd.in-toto+json"
    parsed = google.protobuf.json_format.ParseDict(value, statement_pb2.Statement())
    in_toto.Statement.copy_from_pb(parsed).validate()
    assert value["predicate"] == unsigned
    assert subjects(value) == {
        "plan.json": {"sha256": unsigned["plan_sha256"]},
        "closures.lock": {"sha256": "ef" * 32},
        "artifact:api": {"bootsealClosure1": ROOT},
    }


@pytest.mark.parametrize("position", [0, 0.3, 0.6, 0.9])
def test_an_edited_payload_or_another_key_is_refused_by_it(unsigned, position):
    value = json.loads(attestation.envelope(unsigned, KEY))
    payload = bytearray(base64.b64decode(value["payload"]))
    payload[int(position * len(payload))] ^= 1
    edited = {**value, "payload": base64.b64encode(payload).decode()}
    with pytest.raises(exceptions.VerificationError):
        verified(json.dumps(edited))
    with pytest.raises(exceptions.VerificationError):
        verified(json.dumps(value), ed25519.Ed25519PrivateKey.generate())


def test_a_signature_of_the_statement_is_none_of_the_seal_and_the_other_way_round(unsigned):
    """One key signs both: what it signs must say which of the two it is."""
    seal = record.sign(unsigned, KEY)
    value = json.loads(attestation.envelope(unsigned, KEY))
    borrowed = {**json.loads(seal), "signature": {"alg": "ed25519", "value": value["signatures"][0]["sig"]}}
    with pytest.raises(record.BadSignature):
        record.read_signed(
            json.dumps(borrowed, sort_keys=True).encode() + b"\n", KEY.public_key().public_bytes_raw(), "k"
        )
    value["signatures"][0]["sig"] = json.loads(seal)["signature"]["value"]
    for payload in (value["payload"], base64.b64encode(rfc8785.dumps(unsigned)).decode()):
        with pytest.raises(exceptions.VerificationError):
            verified(json.dumps({**value, "payload": payload}))


@pytest.mark.parametrize(
    "less",
    [{"verified": "metadata"}, {"verified": "presence"}, {"sha256": None}, {"usable": False, "required": False}],
    ids=str,
)
def test_no_digest_is_attested_that_boot_did_not_see(unsigned, less):
    """A root digest that was only looked up in the lock says what the image should hold, not what it held."""
    value = attestation.statement({**unsigned, "artifacts": [artifact("api", **less)]})
    assert set(subjects(value)) == {"plan.json", "closures.lock"}
    assert value["predicate"]["artifacts"] == [artifact("api", **less)]


def test_a_root_digest_never_passes_for_the_sha256_of_a_file(unsigned):
    names = {name for digest in subjects(attestation.statement(unsigned)).values() for name in digest}
    assert names == {"sha256", attestation.CLOSURE_ALGORITHM}
    assert "sha256" not in subjects(attestation.statement(unsigned))["artifact:api"]


def test_without_a_lock_the_plan_is_the_subject(unsigned):
    value = attestation.statement({**unsigned, "lock_sha256": None, "artifacts": []})
    assert set(subjects(value)) == {"plan.json"}
