import base64
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import errors, rundir
from contract import identity as layout
from entrypoint import identity
from manifest import provisions
from seal import signing_key
from tests.unit import boots

BY_VARIABLE = boots.identity(env="AGENT_ID", default="hostname", store=None)
BY_HOST = boots.identity(env=None, default="hostname", store=None)
BY_LABEL = boots.identity(env="AGENT_ID", default="box-7", store=None)


@pytest.fixture
def run(tmp_path) -> rundir.RunDirectory:
    return rundir.open_or_create(f"{tmp_path}/run")


def establish(wanted, run, secret_of=None) -> identity.Established:
    return identity.establish(wanted, run, boots.BOOT_ID, (), secret_of)


def with_nostr(store: str | None = None) -> provisions.IdentityPlan:
    kinds = (provisions.ED25519, provisions.NOSTR)
    return provisions.IdentityPlan(None, "box", store, tuple(provisions.KeyPlan(kind, None, None) for kind in kinds))


def test_the_variable_wins_then_the_host_name_or_the_label():
    assert identity.choose_id(BY_VARIABLE, {"AGENT_ID": "a-1"}, "host") == ("a-1", "variable AGENT_ID")
    assert identity.choose_id(BY_VARIABLE, {}, "host") == ("host", "host name")
    assert identity.choose_id(BY_VARIABLE, {"AGENT_ID": ""}, "host") == ("host", "host name")
    assert identity.choose_id(BY_LABEL, {}, "host") == ("box-7", "manifest")
    assert identity.choose_id(BY_HOST, {"AGENT_ID": "a-1"}, "Host-9.example.org") == ("host-9", "host name")


@pytest.mark.parametrize(
    "bad", ["A", "-a", "a-", "a_b", "a.b", "a b", "a\n", "é", "x" * 64, "../etc", "a/b", "\0", "a" * 10000]
)
def test_an_id_that_is_no_label_is_refused_without_showing_it(bad):
    with pytest.raises(errors.BootsealError, match="not a DNS-1123 label") as caught:
        identity.choose_id(BY_VARIABLE, {"AGENT_ID": bad}, "host")
    assert "variable AGENT_ID" in caught.value.what
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("host", ["", "local_host", "-", ".example.org"])
def test_a_host_name_that_is_no_label_is_refused(host):
    with pytest.raises(errors.BootsealError, match="host name"):
        identity.choose_id(BY_HOST, {}, host)


@given(st.text(min_size=1))
def test_any_variable_gives_a_label_or_a_refusal(value):
    try:
        chosen, _ = identity.choose_id(BY_VARIABLE, {"AGENT_ID": value}, "host")
    except errors.BootsealError:
        return
    assert chosen == value
    assert len(value) <= 63
    assert set(value) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_the_identity_is_a_directory_of_read_only_files(run):
    public_key = establish(BY_LABEL, run).public_key_base64
    assert sorted(os.listdir(run.identity)) == ["boot-id", "ed25519.pub", "id"]
    assert {stat.S_IMODE(os.stat(f"{run.identity}/{name}").st_mode) for name in os.listdir(run.identity)} == {0o444}
    with open(f"{run.identity}/id", "rb") as file:
        assert file.read() == b"box-7"
    with open(f"{run.identity}/boot-id", "rb") as file:
        assert file.read() == boots.BOOT_ID.encode()
    key = signing_key.load(run.keys)
    assert base64.b64decode(public_key) == key.public_key().public_bytes_raw()


def test_without_a_store_every_boot_has_a_new_key(run):
    keys = [establish(BY_LABEL, run).public_key_base64 for _ in range(2)]
    assert keys[0] != keys[1]


def test_with_a_store_the_key_is_kept_and_lies_only_there(run, tmp_path):
    wanted = boots.identity(env=None, default="box", store=f"{tmp_path}/store")
    keys = [establish(wanted, run).public_key_base64 for _ in range(2)]
    assert keys[0] == keys[1]
    assert not os.path.exists(run.keys)


def test_what_an_earlier_boot_left_is_gone(run):
    os.makedirs(run.identity)
    with open(f"{run.identity}/old", "wb") as file:
        file.write(b"x")
    with open(f"{run.identity}/id", "wb") as file:
        file.write(b"somebody-else")
    establish(BY_LABEL, run)
    assert sorted(os.listdir(run.identity)) == ["boot-id", "ed25519.pub", "id"]
    with open(f"{run.identity}/id", "rb") as file:
        assert file.read() == b"box-7"


@pytest.mark.parametrize("name", ["identity", "keys"])
@pytest.mark.parametrize("kind", ["symlink", "dangling", "file", "fifo"])
def test_what_was_planted_in_the_directorys_place_is_replaced_and_never_followed(run, tmp_path, name, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    place = f"{run.path}/{name}"
    match kind:
        case "symlink":
            os.symlink(outside, place)
        case "dangling":
            os.symlink(f"{outside}/none", place)
        case "file":
            open(place, "wb").close()
        case _:
            os.mkfifo(place)
    establish(BY_LABEL, run)
    assert os.listdir(outside) == ["precious"]
    assert os.path.isdir(place) and not os.path.islink(place)


def test_a_key_that_cannot_be_used_is_an_error_and_never_another_identity(run, tmp_path):
    wanted = boots.identity(env=None, default="box", store=f"{tmp_path}/store")
    (tmp_path / "store").mkdir(mode=0o700)
    (tmp_path / "store" / signing_key.FILE).write_bytes(b"damaged")
    (tmp_path / "store" / signing_key.FILE).chmod(0o600)
    with pytest.raises(errors.InvalidRecord):
        establish(wanted, run)
    assert not os.path.exists(run.identity)


def test_what_is_written_is_read_by_everybody(run):
    made = establish(with_nostr(), run)
    found = layout.read(run)
    assert (found.id, found.boot_id) == (made.id, boots.BOOT_ID)
    assert base64.b64encode(found.ed25519).decode() == made.public_key_base64
    assert found.npub.startswith("npub1") and found.did == f"did:nostr:{found.nostr}"
    assert sorted(os.listdir(run.identity)) == sorted(layout.FILES)
    assert stat.S_IMODE(os.stat(run.identity).st_mode) == 0o755


def test_with_a_nostr_key_and_a_store_both_are_kept(run, tmp_path):
    seen = []
    for _ in range(2):
        establish(with_nostr(f"{tmp_path}/store"), run)
        seen.append(layout.read(run))
    assert seen[0] == seen[1]
    assert sorted(os.listdir(tmp_path / "store")) == ["ed25519.key", "nostr.key"]
    assert not os.path.exists(run.keys)


def test_an_identity_without_the_nostr_key_shows_none_of_an_earlier_boot(run):
    establish(with_nostr(), run)
    establish(BY_LABEL, run)
    assert sorted(os.listdir(run.identity)) == ["boot-id", "ed25519.pub", "id"]
    assert os.listdir(run.keys) == [signing_key.FILE]


def test_it_says_where_the_id_is_from(run, monkeypatch):
    assert (establish(BY_LABEL, run).id, establish(BY_LABEL, run).source) == ("box-7", "manifest")
    monkeypatch.setenv("AGENT_ID", "a-1")
    assert (establish(BY_LABEL, run).id, establish(BY_LABEL, run).source) == ("a-1", "variable AGENT_ID")
    assert establish(BY_HOST, run).source == "host name"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_an_identity_directory_of_somebody_else_is_refused(run):
    os.mkdir(run.identity)
    os.chown(run.identity, 1234, 1234)
    with pytest.raises(errors.UnsafePath, match="uid 1234"):
        establish(BY_LABEL, run)


@pytest.mark.parametrize("mode", [0o777, 0])
def test_what_an_earlier_boot_left_is_made_anew_whatever_its_mode_and_content(run, mode):
    for path in (run.identity, run.keys):
        os.makedirs(f"{path}/npub/inner")
        os.chmod(f"{path}/npub", 0)
        os.chmod(path, mode)
    establish(BY_LABEL, run)
    assert stat.S_IMODE(os.stat(run.identity).st_mode) == 0o755
    assert sorted(os.listdir(run.identity)) == ["boot-id", "ed25519.pub", "id"]
    assert os.listdir(run.keys) == ["ed25519.key"]


def test_a_store_within_the_run_directory_keeps_its_key(run):
    wanted = boots.identity(env=None, default="box", store=run.keys)
    assert establish(wanted, run).public_key_base64 == establish(wanted, run).public_key_base64
