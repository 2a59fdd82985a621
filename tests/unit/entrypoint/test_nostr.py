import subprocess
import sys

import bech32
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import errors
from entrypoint import nostr

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

# NIP-19, "Bare keys and ids".
NPUB = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"
NPUB_HEX = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"
NSEC = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
NSEC_HEX = "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa"

# BIP-340, test-vectors.csv, rows 0 to 3: secret key, public key, aux_rand, message, signature.
BIP_340 = [
    (
        "0000000000000000000000000000000000000000000000000000000000000003",
        "F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "E907831F80848D1069A5371B402410364BDF1C5F8307B0084C55F1CE2DCA821525F66A4A85EA8B71E482A74F382D2CE5EBEEE8FDB2172F477DF4900D310536C0",
    ),
    (
        "B7E151628AED2A6ABF7158809CF4F3C762E7160F38B4DA56A784D9045190CFEF",
        "DFF1D77F2A671C5F36183726DB2341BE58FEAE1DA2DECED843240F7B502BA659",
        "0000000000000000000000000000000000000000000000000000000000000001",
        "243F6A8885A308D313198A2E03707344A4093822299F31D0082EFA98EC4E6C89",
        "6896BD60EEAE296DB48A229FF71DFE071BDE413E6D43F917DC8DCF8C78DE33418906D11AC976ABCCB20B091292BFF4EA897EFCB639EA871CFA95F6DE339E4B0A",
    ),
    (
        "C90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B14E5C9",
        "DD308AFEC5777E13121FA72B9CC1B7CC0139715309B086C960E18FD969774EB8",
        "C87AA53824B4D7AE2EB035A2B5BBBCCC080E76CDC6D1692C4B0B62D798E6D906",
        "7E2D58D8B3BCDF1ABADEC7829054F90DDA9805AAB56C77333024B9D0A508B75C",
        "5831AAEED7B44BB74E5EAB94BA9D4294C49BCF2A60728D8B4C200F50DD313C1BAB745879A5AD954A72C45A91C3A51D3C7ADEA98D82F8481E0E1E03674A6F3FB7",
    ),
    (
        "0B432B2677937381AEF05BB02A66ECD012773062CF3FA2549E44F58ED2401710",
        "25D1DFF95105F5253C4022F628A996AD3A0D95FBF21D468A1B33F8C160D8F517",
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
        "7EB0509757E246F19449885651611CB965ECC1A187DD51B64FDA1EDC9637D5EC97582B9CB13DB3933705B32BA982AF5AF25FD78881EBB32771FC5922EFC66EA3",
    ),
]


def nsec(data: bytes, prefix: str = "nsec") -> str:
    return bech32.bech32_encode(prefix, bech32.convertbits(data, 8, 5))


@pytest.mark.parametrize(("secret", "public", "randomness", "message", "signature"), BIP_340)
def test_the_published_keys_and_signatures_of_bip_340(secret, public, randomness, message, signature):
    key = nostr.parse(secret.encode(), "key")
    assert nostr.public_key(key, "key").hex == public.lower()
    assert key.sign_schnorr(bytes.fromhex(message), bytes.fromhex(randomness)) == bytes.fromhex(signature)


def test_the_published_encodings_of_nip_19():
    assert nostr.parse(NSEC.encode(), "key").secret.hex() == NSEC_HEX
    assert nostr.encode("nsec", bytes.fromhex(NSEC_HEX), "key") == NSEC
    assert nostr.encode("npub", bytes.fromhex(NPUB_HEX), "key") == NPUB


def test_a_key_is_told_in_its_three_forms():
    public = nostr.public_key(nostr.parse(NSEC.encode(), "key"), "key")
    assert public == nostr.PublicKey(public.hex, nsec(bytes.fromhex(public.hex), "npub"), f"did:nostr:{public.hex}")


@pytest.mark.parametrize("text", [NSEC, NSEC.upper(), NSEC_HEX, NSEC_HEX.upper(), f"{NSEC}\n", f"{NSEC_HEX}\n"])
def test_one_key_in_each_form_that_is_allowed(text):
    assert nostr.parse(text.encode(), "key").secret.hex() == NSEC_HEX


def test_a_mistyped_nsec_is_refused_wherever_the_typo_is():
    """Every other character at every place: all are found, none is another key."""
    for place, character in enumerate(NSEC):
        for other in (set(map(chr, range(33, 127))) - {character}) | {" ", "\n", "\x7f"}:
            with pytest.raises(errors.InvalidRecord):
                nostr.parse(f"{NSEC[:place]}{other}{NSEC[place + 1 :]}".encode(), "key")


def test_a_cut_doubled_or_swapped_nsec_is_refused():
    for place in range(len(NSEC)):
        swapped = [*NSEC]
        swapped[place - 1 : place + 1] = reversed(swapped[place - 1 : place + 1])
        for text in (
            NSEC[:place],
            NSEC[:place] + NSEC[place + 1 :],
            NSEC[:place] + NSEC[place] + NSEC[place:],
            "".join(swapped),
        ):
            if text != NSEC:
                with pytest.raises(errors.InvalidRecord):
                    nostr.parse(text.encode(), "key")


def _bech32m(data: bytes) -> str:
    groups = bech32.convertbits(data, 8, 5)
    polymod = bech32.bech32_polymod([*bech32.bech32_hrp_expand("nsec"), *groups, 0, 0, 0, 0, 0, 0]) ^ 0x2BC830A3
    return "nsec1" + "".join(CHARSET[group] for group in [*groups, *(polymod >> 5 * (5 - i) & 31 for i in range(6))])


KEY = bytes.fromhex(NSEC_HEX)
FILLED = bech32.bech32_encode("nsec", [*bech32.convertbits(KEY, 8, 5)[:-1], bech32.convertbits(KEY, 8, 5)[-1] | 1])


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"nsec", b"nsec1", NSEC.encode() + b"\n\n", NSEC.encode() + b"\r\n", b" " + NSEC.encode(), b"nostr:" + NSEC.encode(),
        NSEC.capitalize().encode(), NSEC_HEX[:-1].encode(), NSEC_HEX.encode() + b"0", b"0x" + NSEC_HEX.encode(), KEY,
        b" ".join([NSEC_HEX[:32].encode(), NSEC_HEX[32:].encode()]), nsec(KEY, "ncryptsec").encode(), nsec(KEY, "note").encode(), nsec(KEY, "nse").encode(),
        nsec(KEY[:-1]).encode(), nsec(KEY + b"\0").encode(), nsec(b"").encode(), _bech32m(KEY).encode(), FILLED.encode(), b"\xff" * 64,
        "\uff10".encode() * 64,
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_key_is_refused_without_showing_it(data):
    with pytest.raises(errors.InvalidRecord, match="never replaced silently") as caught:
        nostr.parse(data, "key nostr")
    assert NSEC_HEX[:8] not in str(caught.value)
    assert NSEC[5:20] not in str(caught.value)


def test_the_refused_encodings_carry_a_checksum_that_is_right():
    """Otherwise their refusal would prove nothing of prefix, length, filling bits and variant."""
    for text in (nsec(KEY, "nse"), nsec(KEY, "note"), nsec(KEY[:-1]), nsec(KEY + b"\0"), FILLED):
        assert bech32.bech32_decode(text)[0] is not None


@pytest.mark.parametrize("number", [0, ORDER, ORDER + 1, 2**256 - 1])
def test_a_number_that_is_no_key_of_the_curve_is_refused(number):
    raw = number.to_bytes(32, "big")
    for text in (raw.hex(), nsec(raw)):
        with pytest.raises(errors.InvalidRecord, match="from 1 to n-1"):
            nostr.parse(text.encode(), "key")


@pytest.mark.parametrize("number", [1, ORDER - 1])
def test_the_least_and_the_greatest_key_are_keys_with_one_public_key(number):
    """1 and n-1 are each other's negation: BIP-340 gives both the x coordinate of G."""
    key = nostr.parse(number.to_bytes(32, "big").hex().encode(), "key")
    public = nostr.public_key(key, "key")
    assert public.hex == "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"


def test_a_public_key_in_the_place_of_a_private_one_is_named():
    with pytest.raises(errors.InvalidRecord, match=r"a public key \(npub\)"):
        nostr.parse(NPUB.encode(), "key")


def test_what_is_generated_is_read_again_and_never_twice_the_same():
    made = [nostr.generate("key") for _ in range(2)]
    assert made[0] != made[1]
    assert all(data.startswith(b"nsec1") and data.endswith(b"\n") for data in made)
    assert [nostr.encode("nsec", nostr.parse(data, "key").secret, "key").encode() + b"\n" for data in made] == made


@given(st.one_of(st.binary(max_size=200), st.text(alphabet=CHARSET + "1", max_size=80).map(str.encode), st.text("0123456789abcdefABCDEF \n", max_size=70).map(str.encode)))  # fmt: skip
def test_any_bytes_are_a_key_or_a_refusal(data):
    try:
        key = nostr.parse(data, "key")
    except errors.BootsealError:
        return
    assert 0 < int.from_bytes(key.secret, "big") < ORDER


@given(st.integers(min_value=1, max_value=ORDER - 1))
def test_every_key_is_written_and_read_the_same(number):
    raw = number.to_bytes(32, "big")
    assert nostr.parse(nostr.encode("nsec", raw, "key").encode(), "key").secret == raw


@pytest.mark.parametrize("library", ["coincurve", "bech32"])
def test_without_the_library_it_says_what_to_install(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(errors.BootsealError, match=r"install bootseal\[nostr\]"):
        nostr.parse(NSEC.encode(), "key")
    with pytest.raises(errors.BootsealError, match=r"install bootseal\[nostr\]"):
        nostr.generate("key")


def test_the_libraries_are_not_loaded_before_a_key_is_read():
    program = "import sys; from entrypoint import identity, nostr; sys.exit(any(n in sys.modules for n in ('coincurve', 'bech32', 'cryptography')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
