"""The seal's record: any bytes are refused, and only with the refusals that readers know."""

import base64
import json

from cryptography.hazmat.primitives.asymmetric import ed25519

from contract import errors
from seal import record

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
SEAL = record.sign(
    {
        "schema": record.SCHEMA, "boot_id": "0" * 32, "generation": 1, "pid1_start": 7, "sealed_at": "2026-01-02T03:04:05.678Z",
        "elapsed_seconds": 1.5, "manifest_sha256": "ab" * 32, "plan_sha256": "cd" * 32, "lock_sha256": None,
        "identity": {"id": "box", "ed25519": base64.b64encode(PUBLIC).decode()},
        "artifacts": [{"id": "api", "sha256": None, "verified": "presence", "usable": True, "required": True}],
        "programs": [
            {"name": "api", "state": "RUNNING", "pid": 1, "pid_start": 1, "ready_by": "fd 3", "ready_at": None},
        ],
        "late": False,
    },
    KEY,
)  # fmt: skip
SEEDS: list[bytes] = [SEAL, json.dumps({**json.loads(SEAL), "generation": 2}, sort_keys=True).encode() + b"\n", b"{}"]


def test_one_input(data: bytes) -> None:
    """Accept nothing but the one record that the key signed."""
    try:
        record.read_signed(data, PUBLIC, "the given one")
    except (errors.InvalidRecord, record.BadSignature) as refused:
        str(refused).encode()
    else:
        assert data == SEAL
