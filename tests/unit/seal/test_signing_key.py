import base64
import contextlib
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from contract import errors, identity, rundir
from manifest import provisions
from seal import signing_key
from tests.unit import boots


def raw(key: ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes_raw()


def pem(key, encryption=None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption or serialization.NoEncryption()
    )


def put(folder, data: bytes, mode: int = 0o600) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / signing_key.FILE).write_bytes(data)
    (folder / signing_key.FILE).chmod(mode)


def test_a_key_is_made_once_and_then_always_the_same(tmp_path):
    folder = f"{tmp_path}/store/keys"
    first = signing_key.load_or_generate(folder)
    assert raw(signing_key.load_or_generate(folder)) == raw(signing_key.load(folder)) == raw(first)
    assert os.listdir(folder) == [signing_key.FILE]


def test_the_key_and_its_directory_are_this_users_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        signing_key.load_or_generate(f"{tmp_path}/keys")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "keys").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(tmp_path / "keys" / signing_key.FILE).st_mode) == 0o600


def test_two_containers_never_have_the_same_key(tmp_path):
    assert raw(signing_key.load_or_generate(f"{tmp_path}/a")) != raw(signing_key.load_or_generate(f"{tmp_path}/b"))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"garbage", b"\0" * 100, b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(ed25519.Ed25519PrivateKey.generate(), serialization.BestAvailableEncryption(b"password")),
        pem(ed25519.Ed25519PrivateKey.generate())[:-40],
        b"-----BEGIN PRIVATE KEY-----\nMA4CAQAwBQYDKgMEBAIAAQ==\n-----END PRIVATE KEY-----\n",  # algorithm 1.2.3.4
        pem(ed25519.Ed25519PrivateKey.generate()).replace(b"MC4CAQAwBQYDK2Vw", b"MC4CAQAwBQYDK2Vv"),  # X448, too short
    ],
    ids=["empty", "garbage", "zeros", "hollow", "another kind", "encrypted", "cut", "unknown", "mislabelled"],
)  # fmt: skip
def test_a_key_that_is_none_is_an_error_and_never_replaced(tmp_path, data):
    put(tmp_path / "keys", data)
    with pytest.raises(errors.InvalidRecord, match="never replaced"):
        signing_key.load_or_generate(f"{tmp_path}/keys")
    assert (tmp_path / "keys" / signing_key.FILE).read_bytes() == data


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o610, 0o777])
def test_a_key_that_somebody_else_could_read_or_replace_is_refused(tmp_path, mode):
    put(tmp_path / "keys", pem(ed25519.Ed25519PrivateKey.generate()), mode)
    with pytest.raises(errors.UnsafePath, match="somebody else"):
        signing_key.load(f"{tmp_path}/keys")


def test_a_key_directory_that_others_can_write_to_is_refused(tmp_path):
    signing_key.load_or_generate(f"{tmp_path}/keys")
    (tmp_path / "keys").chmod(0o770)
    with pytest.raises(errors.UnsafePath, match="lets group or others write"):
        signing_key.load_or_generate(f"{tmp_path}/keys")


def test_a_symlink_or_fifo_in_the_keys_place_is_never_read_and_never_replaced(tmp_path):
    put(tmp_path / "elsewhere", pem(ed25519.Ed25519PrivateKey.generate()))
    (tmp_path / "keys").mkdir(mode=0o700)
    os.symlink(tmp_path / "elsewhere" / signing_key.FILE, tmp_path / "keys" / signing_key.FILE)
    with pytest.raises(OSError, match="symbolic links"):
        signing_key.load_or_generate(f"{tmp_path}/keys")
    os.unlink(tmp_path / "keys" / signing_key.FILE)
    os.mkfifo(tmp_path / "keys" / signing_key.FILE)
    with pytest.raises(errors.UnsafePath):
        signing_key.load_or_generate(f"{tmp_path}/keys")


def test_a_symlinked_key_directory_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    os.symlink("real", tmp_path / "keys")
    with pytest.raises(errors.UnsafePath, match="symlink"):
        signing_key.load_or_generate(f"{tmp_path}/keys")
    assert os.listdir(tmp_path / "real") == []


def test_no_refusal_shows_the_key(tmp_path):
    data = pem(ed25519.Ed25519PrivateKey.generate())
    put(tmp_path / "keys", data[:-40])
    with pytest.raises(errors.InvalidRecord) as caught:
        signing_key.load(f"{tmp_path}/keys")
    assert data.splitlines()[1].decode() not in str(caught.value)


def test_the_key_lies_in_the_store_where_the_manifest_names_one():
    run = rundir.RunDirectory("/run/x")
    assert signing_key.directory(boots.identity(None, "box", None), run) == "/run/x/keys"
    assert signing_key.directory(boots.identity(None, "box", "/var/lib/x"), run) == "/var/lib/x"


@pytest.mark.parametrize("key", [("/etc/seal.pem", None), (None, "seal-key")], ids=["file", "secret"])
def test_a_key_that_the_manifest_gives_lies_in_the_run_directory_and_never_in_the_store(key):
    given = provisions.IdentityPlan(None, "box", "/var/lib/x", (provisions.KeyPlan(provisions.ED25519, *key),))
    assert signing_key.directory(given, rundir.RunDirectory("/run/x")) == "/run/x/keys"


def test_what_is_stored_is_loaded_and_no_other_key_takes_its_place(tmp_path):
    key, other = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    signing_key.store(f"{tmp_path}/keys", key)
    assert raw(signing_key.load(f"{tmp_path}/keys")) == raw(key)
    with pytest.raises(errors.UnsafePath, match="another key"):
        signing_key.store(f"{tmp_path}/keys", other)
    assert raw(signing_key.load(f"{tmp_path}/keys")) == raw(key)


def test_the_published_key_and_signature_of_rfc_8032():
    """Section 7.1, test 1: an empty message."""
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    key = signing_key.parse(pem(ed25519.Ed25519PrivateKey.from_private_bytes(secret)), "key")
    assert signing_key.public_pem(key) == identity.encode_ed25519(public)
    assert key.sign(b"") == signature


@given(st.one_of(st.binary(max_size=500), st.binary(max_size=100).map(lambda data: b"-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(data) + b"\n-----END PRIVATE KEY-----\n")))  # fmt: skip
def test_any_bytes_are_a_key_or_a_refusal(data):
    with contextlib.suppress(errors.BootsealError):
        assert isinstance(signing_key.parse(data, "key"), ed25519.Ed25519PrivateKey)


def test_what_we_write_is_to_the_byte_what_the_library_writes(tmp_path: Path) -> None:
    folder = str(tmp_path / "keys")
    key = signing_key.load_or_generate(folder)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert (tmp_path / "keys" / signing_key.FILE).read_bytes() == private
    assert signing_key.public_pem(key) == public
