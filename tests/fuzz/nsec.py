"""The nostr private key that a file or a secret holds: nsec1… or 64 hexadecimal digits."""

from contract import errors
from entrypoint import nostr

_NSEC = b"nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
_NPUB = b"npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"
_ORDER = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
SEEDS: list[bytes] = [_NSEC, _NSEC.upper() + b"\n", _NPUB, _ORDER.encode(), b"0" * 63 + b"1", b""]


def test_one_input(data: bytes) -> None:
    """Any bytes are a key of the curve that is written as it was read, or refused as none."""
    try:
        key = nostr.parse(data, "key")
    except errors.BootsealError:
        return
    text = data.decode("ascii").removesuffix("\n").lower()
    if not 0 < int.from_bytes(key.secret, "big") < int(_ORDER, 16):
        raise AssertionError(data)
    if text not in {key.secret.hex(), nostr.encode("nsec", key.secret, "key")}:
        raise AssertionError(data)
