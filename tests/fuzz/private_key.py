"""The Ed25519 private key that a file or a secret holds."""

from contract import errors
from seal import signing_key

_PEM = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n"
SEEDS: list[bytes] = [_PEM, _PEM[:-40], _PEM.replace(b"PRIVATE", b"ENCRYPTED PRIVATE"), b""]


def test_one_input(data: bytes) -> None:
    """Any bytes are a key of 32 bytes, or refused as such."""
    try:
        key = signing_key.parse(data, "key")
    except errors.BootsealError:
        return
    if len(key.private_bytes_raw()) != 32:
        raise AssertionError(data)
