"""A nostr key: secp256k1 as BIP-340 uses it, written as NIP-19 says.

Rules
-----
* The curve is libsecp256k1's, through coincurve; bech32 (BIP-173) is the library bech32's. Neither is loaded, or needed,
  where the manifest names no nostr key.
* A private key is ``nsec1…`` or 64 hexadecimal digits, with at most one newline after it. ``nsec1…`` carries a checksum, so
  that a mistyped one is refused; the digits carry none, which is why we write ``nsec1…`` ourselves.
* It is a number from 1 to n-1 (BIP-340), or it is refused. Of the two keys with one public key either is accepted; which of
  them signs is the library's business.
* No refusal shows what was read.
"""

import re
from typing import Any

from contract import errors, records

FILE = "nostr.key"
"""Its name in a directory of keys."""
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_KEY_BYTES = 32
_REMEDY = "restore it; it is never replaced silently, because that would be another identity"


@records.dataclass(frozen=True)
class PublicKey:
    """A public key: the 64 digits of its x coordinate, the same by NIP-19, and as a DID."""

    hex: str
    npub: str
    did: str


def parse(data: bytes, where: str, remedy: str = _REMEDY) -> Any:
    """Return the ``coincurve.PrivateKey`` that the text ``data`` holds; raises InvalidRecord naming ``where``, and what to do."""
    curve = _library("coincurve", where)
    try:
        text = data.decode("ascii").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise errors.InvalidRecord(where, "it is not ASCII text", remedy) from error
    if text.lower().startswith("npub1"):
        raise errors.InvalidRecord(where, "it is a public key (npub), not a private one (nsec)", remedy)
    secret = bytes.fromhex(text) if _HEX.fullmatch(text) else _decode_nsec(text, where, remedy)
    try:
        return curve.PrivateKey(secret)
    except ValueError as error:
        raise errors.InvalidRecord(where, "it is not a number from 1 to n-1 (BIP-340)", remedy) from error


def generate(where: str) -> bytes:
    """Return a new private key as its file holds it: ``nsec1…`` and a newline; raises BootsealError without the library."""
    secret = _library("coincurve", where).PrivateKey().secret
    return encode("nsec", secret, where).encode() + b"\n"


def public_key(key: Any, where: str) -> PublicKey:
    """Return the public key of ``key``, a ``coincurve.PrivateKey``; raises BootsealError without the library."""
    raw = key.public_key_xonly.format()
    return PublicKey(raw.hex(), encode("npub", raw, where), f"did:nostr:{raw.hex()}")


def _decode_nsec(text: str, where: str, remedy: str) -> bytes:
    """Return the 32 bytes of ``nsec1…`` (NIP-19); the library checks case, characters and checksum (BIP-173)."""
    bech32 = _library("bech32", where)
    prefix, groups = bech32.bech32_decode(text)
    octets = bech32.convertbits(groups, 5, 8, False) if prefix == "nsec" else None
    if octets is None or len(octets) != _KEY_BYTES:
        why = "it is neither nsec1… with its checksum (NIP-19) nor 64 hexadecimal digits"
        raise errors.InvalidRecord(where, why, remedy)
    return bytes(octets)


def encode(prefix: str, data: bytes, where: str) -> str:
    """Return the 32 bytes ``data`` by NIP-19, ``prefix`` being nsec or npub; raises BootsealError without the library."""
    bech32 = _library("bech32", where)
    return str(bech32.bech32_encode(prefix, bech32.convertbits(data, 8, 5)))


def _library(name: str, where: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise errors.BootsealError(where, f"the library {name} is not there", "install bootseal[nostr]") from error
