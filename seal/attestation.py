"""The seal as an in-toto statement in a DSSE envelope: ``bootstrap.intoto.jsonl``, for supply-chain tools.

Rules
-----
* One line: a DSSE envelope (protocol v1) with one signature by the key that signs the seal, over the pre-authentication
  encoding of the payload. That begins with ``DSSEv1`` and a seal's signed bytes with the seal's own domain, so that
  neither signature passes for the other.
* The payload is an in-toto Statement v1, canonical JSON (RFC 8785). Its predicate is the seal without the signature.
* Its subjects are the plan, the lock where there is one, and ``artifact:ID`` for every artifact whose bytes this boot found to
  be the locked ones. One that was verified by less (metadata, presence), or is not usable, is no subject: nobody saw that it
  has that digest. The predicate lists it.
* A closure's root digest is the SHA-256 of no file. So it does not stand under ``sha256``, where a consumer would compare it with
  a file's, but under ``CLOSURE_ALGORITHM``: the lower-case hexadecimal root digest that ``artifacts.closure`` defines. in-toto's
  DigestSet allows algorithms of one's own, and who does not know one must ignore it.
* The key's id is the one that securesystemslib computes for an Ed25519 key, so that its users need not be told.
* It proves what the seal proves and is no seal: what counts is ``bootstrap.done``.
"""

import base64
import hashlib
import json
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ed25519

from manifest import plan, provisions

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:bootseal:seal:3"
CLOSURE_ALGORITHM = "bootsealClosure1"


def envelope(unsigned: dict[str, Any], key: ed25519.Ed25519PrivateKey) -> bytes:
    """Return the file's one line for the seal ``unsigned``, every field of ``seal.record.Record`` but the signature."""
    payload = rfc8785.dumps(statement(unsigned))
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    value = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {
                "keyid": key_id(key.public_key().public_bytes_raw()),
                "sig": base64.b64encode(signature).decode(),
            }
        ],
    }
    return json.dumps(value, sort_keys=True).encode() + b"\n"


def statement(unsigned: dict[str, Any]) -> dict[str, Any]:
    """Return the in-toto statement of the seal ``unsigned``."""
    subjects = [{"name": plan.PLAN_FILE, "digest": {"sha256": unsigned["plan_sha256"]}}]
    if unsigned["lock_sha256"] is not None:
        subjects.append({"name": plan.LOCK_FILE, "digest": {"sha256": unsigned["lock_sha256"]}})
    subjects += [
        {"name": f"artifact:{artifact['id']}", "digest": {CLOSURE_ALGORITHM: artifact["sha256"]}}
        for artifact in unsigned["artifacts"]
        if artifact["verified"] == provisions.DIGEST and artifact["usable"] and artifact["sha256"] is not None
    ]
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": PREDICATE_TYPE,
        "predicate": unsigned,
    }


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return what is signed: DSSE's PAE (secure-systems-lab/dsse, protocol.md, v1)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(public_key: bytes) -> str:
    """Return the id of the Ed25519 key ``public_key``, 32 bytes: the digest of its canonical JSON, as securesystemslib has it."""
    described: dict[str, Any] = {"keytype": "ed25519", "keyval": {"public": public_key.hex()}, "scheme": "ed25519"}
    return hashlib.sha256(rfc8785.dumps(described)).hexdigest()
