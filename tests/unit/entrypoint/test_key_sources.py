import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from contract import errors, rundir
from entrypoint import key_sources, nostr
from manifest import provisions
from seal import signing_key

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(b"o" * 32)
RAW, OTHER_RAW = KEY.public_key().public_bytes_raw(), OTHER.public_key().public_bytes_raw()
NSEC = b"nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"
NSEC_HEX = "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa"
THREE = b"0" * 63 + b"3"
THREE_PUBLIC = "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9"  # BIP-340, row 0


def pem(key: ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture
def run(tmp_path) -> rundir.RunDirectory:
    return rundir.open_or_create(f"{tmp_path}/run")


def wanted(*, store=None, ours=(None, None), theirs=None) -> provisions.IdentityPlan:
    keys = [provisions.KeyPlan(provisions.ED25519, *ours)]
    keys += [provisions.KeyPlan(provisions.NOSTR, *theirs)] if theirs else []
    return provisions.IdentityPlan(None, "box", store, tuple(keys))


def put(path, data: bytes) -> str:
    path.write_bytes(data)
    path.chmod(0o600)
    return str(path)


def secrets(**values: bytes):
    return lambda name: values[name]


def test_the_file_goes_before_the_secret_and_the_secret_before_the_store(run, tmp_path):
    store = f"{tmp_path}/store"
    signing_key.store(store, OTHER)
    file = put(tmp_path / "seal.pem", pem(KEY))
    both = key_sources.realise(wanted(store=store, ours=(file, "k")), run, secrets(k=pem(OTHER)))
    os.unlink(f"{run.keys}/{signing_key.FILE}")
    secret = key_sources.realise(wanted(store=store, ours=(None, "k")), run, secrets(k=pem(KEY)))
    assert both.ed25519 == secret.ed25519 == RAW
    assert key_sources.realise(wanted(store=store), run, None).ed25519 == OTHER_RAW


def test_the_seal_program_finds_a_given_key_and_the_store_never_gets_it(run, tmp_path):
    (tmp_path / "store").mkdir(mode=0o700)
    plan = wanted(store=f"{tmp_path}/store", ours=(None, "k"))
    key_sources.realise(plan, run, secrets(k=pem(KEY)))
    assert signing_key.load(signing_key.directory(plan, run)).public_key().public_bytes_raw() == RAW
    assert stat.S_IMODE(os.stat(f"{run.keys}/{signing_key.FILE}").st_mode) == 0o600
    assert os.listdir(tmp_path / "store") == []


def test_a_stored_key_that_is_not_used_is_said_and_not_even_read(run, tmp_path):
    store = tmp_path / "store"
    store.mkdir(mode=0o700)
    put(store / signing_key.FILE, b"damaged")
    put(store / nostr.FILE, b"damaged")
    made = key_sources.realise(wanted(store=str(store), ours=(None, "k"), theirs=(None, "n")), run, secrets(k=pem(KEY), n=NSEC))  # fmt: skip
    assert [warning.split(" ")[1] for warning in made.warnings] == [f"{store}/ed25519.key", f"{store}/nostr.key"]
    assert all("is not used" in warning for warning in made.warnings)


def test_without_another_source_nothing_is_said(run, tmp_path):
    assert key_sources.realise(wanted(store=f"{tmp_path}/store"), run, None).warnings == ()


@pytest.mark.parametrize("kind", ["ed25519", "nostr"])
@pytest.mark.parametrize("fault", ["missing", "empty", "garbage", "another kind", "writable by others", "a directory"])
def test_a_key_that_the_manifest_names_and_that_is_none_is_an_error_and_never_a_new_one(run, tmp_path, kind, fault):
    path = tmp_path / "key"
    content = {"empty": b"", "garbage": b"hunter2", "writable by others": NSEC if kind == "nostr" else pem(KEY)}
    match fault:
        case "missing":
            pass
        case "a directory":
            path.mkdir()
        case _:
            put(path, content.get(fault, pem(KEY) if kind == "nostr" else NSEC))
    if fault == "writable by others":
        path.chmod(0o666)
    store = f"{tmp_path}/store"
    plan = (
        wanted(store=store, ours=(str(path), None))
        if kind == "ed25519"
        else wanted(store=store, theirs=(str(path), None))
    )
    with pytest.raises(errors.BootsealError) as caught:
        key_sources.realise(plan, run, None)
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert not os.path.exists(f"{run.keys}/{nostr.FILE}") and not os.path.exists(f"{store}/{nostr.FILE}")
    assert kind == "nostr" or not os.path.exists(f"{run.keys}/{signing_key.FILE}")


@pytest.mark.parametrize("passphrase", [True, False], ids=["encrypted", "plain"])
def test_a_given_key_is_to_be_put_right_where_it_is_given_and_an_encrypted_one_is_told_as_such(
    run, tmp_path, passphrase
):
    from cryptography.hazmat.primitives.asymmetric import x25519

    how = serialization.BestAvailableEncryption(b"x") if passphrase else serialization.NoEncryption()
    key = KEY if passphrase else x25519.X25519PrivateKey.generate()
    data = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    file = put(tmp_path / "seal.pem", data)
    for plan in (wanted(ours=(file, None)), wanted(ours=(None, "k"))):
        with pytest.raises(errors.InvalidRecord) as caught:
            key_sources.realise(plan, run, secrets(k=data))
        assert caught.value.remedy.startswith("put the right key there; ")
        assert ("it is encrypted" in caught.value.why) == passphrase


@pytest.mark.parametrize("kind", ["ed25519", "nostr"])
def test_a_secret_that_is_no_key_is_named_and_not_shown(run, kind):
    plan = wanted(ours=(None, "k")) if kind == "ed25519" else wanted(theirs=(None, "k"))
    with pytest.raises(errors.InvalidRecord, match=f"key {kind}, secret k: ") as caught:
        key_sources.realise(plan, run, secrets(k=b"hunter2"))
    assert caught.value.remedy.startswith("put the right key there; ")
    assert "hunter2" not in str(caught.value)


def test_a_nostr_key_comes_from_file_secret_store_or_is_made(run, tmp_path):
    file = put(tmp_path / "nsec", NSEC + b"\n")
    given = key_sources.realise(wanted(theirs=(file, None)), run, None).nostr
    assert given is not None and given.hex != THREE_PUBLIC
    secret = key_sources.realise(wanted(theirs=(None, "n")), run, secrets(n=THREE)).nostr
    assert secret is not None and secret.hex == THREE_PUBLIC
    assert not os.path.exists(f"{run.keys}/{nostr.FILE}")
    store = tmp_path / "store"
    made = [key_sources.realise(wanted(store=str(store), theirs=(None, None)), run, None).nostr for _ in range(2)]
    assert made[0] == made[1]
    assert stat.S_IMODE(os.stat(store / nostr.FILE).st_mode) == 0o600


@pytest.mark.parametrize("data", [b"", NSEC[:-1] + b"4", THREE + b"\n\n", b"0" * 64])
def test_a_stored_nostr_key_that_is_damaged_is_an_error_and_stays_as_it_is(run, tmp_path, data):
    store = tmp_path / "store"
    store.mkdir(mode=0o700)
    put(store / nostr.FILE, data)
    with pytest.raises(errors.InvalidRecord, match="never replaced"):
        key_sources.realise(wanted(store=str(store), theirs=(None, None)), run, None)
    assert (store / nostr.FILE).read_bytes() == data


def test_a_stored_nostr_key_that_others_could_read_is_refused(run, tmp_path):
    store = tmp_path / "store"
    store.mkdir(mode=0o700)
    put(store / nostr.FILE, NSEC)
    (store / nostr.FILE).chmod(0o644)
    with pytest.raises(errors.UnsafePath, match="somebody else"):
        key_sources.realise(wanted(store=str(store), theirs=(None, None)), run, None)


def test_what_a_secret_refuses_is_what_is_said(run):
    def refuse(_name: str) -> bytes:
        raise errors.BootsealError("secret k", "it is missing")

    with pytest.raises(errors.BootsealError, match="secret k: it is missing"):
        key_sources.realise(wanted(ours=(None, "k")), run, refuse)
