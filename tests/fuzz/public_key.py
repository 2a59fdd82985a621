"""The public key that `bootseal verify --key` is given: 32 bytes, or a refusal that names the file."""

import base64

from cryptography.hazmat.primitives.asymmetric import ed25519

from contract import errors
from seal import outside, signing_key

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
SEEDS: list[bytes] = [signing_key.public_pem(KEY), base64.b64encode(PUBLIC), PUBLIC.hex().encode() + b"\n", b""]


def test_one_input(data: bytes) -> None:
    """Return 32 bytes or refuse."""
    try:
        assert len(outside.parse_key(data, "key k")) == len(PUBLIC)
    except errors.InvalidRecord as refused:
        assert refused.what == "key k"
