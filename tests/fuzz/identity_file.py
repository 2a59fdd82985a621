"""A file of the identity directory: the first byte says which, and whether the directory is mounted."""

from contract import errors, identity

_HEX = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"
_NPUB = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"
_WHOLE = {
    identity.ID: b"box-7",
    identity.BOOT_ID: b"0123456789abcdef" * 2,
    identity.ED25519: identity.encode_ed25519(bytes(range(32))),
    identity.NOSTR: _HEX.encode(),
    identity.NPUB: _NPUB.encode(),
    identity.DID: f"did:nostr:{_HEX}".encode(),
}
SEEDS: list[bytes] = [bytes([index]) + _WHOLE[name] for index, name in enumerate(identity.FILES)] + [b""]


def test_one_input(data: bytes) -> None:
    """Any bytes are a file of that name, or refused as none; what only says who we are again has one form."""
    choice, content = (data[0], data[1:]) if data else (0, b"")
    name = identity.FILES[choice % len(identity.FILES)]
    try:
        found = identity.parse({**_WHOLE, name: content}, "/x", is_mounted=choice >= 128)
    except errors.BootsealError:
        return
    if not identity.is_label(found.id):
        raise AssertionError(data)
    if (
        name == identity.ED25519
        and found.ed25519
        and identity.encode_ed25519(found.ed25519).rstrip() != content.rstrip()
    ):
        raise AssertionError(data)
    if name in {identity.NOSTR, identity.DID} and content != _WHOLE[name]:
        raise AssertionError(data)
    if name == identity.NPUB and content[:-6] != _WHOLE[name][:-6]:  # the checksum is not this reader's
        raise AssertionError(data)
