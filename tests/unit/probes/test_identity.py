import base64
import os
import subprocess
import sys

import pytest

from contract import errors
from contract import identity as layout
from entrypoint import identity as stage_a_identity
from manifest import provisions
from probes import identity
from tests.unit import boots


@pytest.fixture
def container(tmp_path) -> boots.Container:
    return boots.container(f"{tmp_path}/run")


def test_it_tells_id_boot_and_key(container):
    key = base64.b64encode(container.key.public_key().public_bytes_raw()).decode()
    assert identity.whoami(container.run) == {"id": "box", "boot_id": boots.BOOT_ID, "ed25519": key}


@pytest.fixture
def with_nostr(container) -> boots.Container:
    keys = tuple(provisions.KeyPlan(kind, None, None) for kind in provisions.KEY_KINDS)
    made = stage_a_identity.establish(
        provisions.IdentityPlan(None, "box", None, keys), container.run, boots.BOOT_ID, ()
    )
    boots.boot_record.write(container.run, boots.boot(public_key=made.public_key_base64))
    return container


def test_with_a_nostr_key_it_tells_that_too(with_nostr):
    seen = identity.whoami(with_nostr.run)
    assert sorted(seen) == ["boot_id", "did", "ed25519", "id", "nostr", "npub"]
    assert seen["did"] == f"did:nostr:{seen['nostr']}"


def test_an_npub_with_a_wrong_checksum_is_never_told(with_nostr):
    path = f"{with_nostr.run.identity}/npub"
    with open(path, "rb") as file:
        npub = file.read()
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(npub[:-1] + (b"q" if npub[-1:] != b"q" else b"p"))
    with pytest.raises(errors.InvalidRecord, match="identity/npub: its checksum is wrong"):
        identity.whoami(with_nostr.run)


def test_it_is_read_at_each_request(container):
    assert identity.whoami(container.run)["id"] == "box"
    os.unlink(f"{container.run.identity}/id")
    with open(f"{container.run.identity}/id", "wb") as file:
        file.write(b"other")
    assert identity.whoami(container.run)["id"] == "other"


@pytest.mark.parametrize("name", ["id", "boot-id", "ed25519.pub"])
@pytest.mark.parametrize("fault", ["missing", "invalid"])
def test_what_is_missing_or_invalid_is_named(container, name, fault):
    path = f"{container.run.identity}/{name}"
    os.unlink(path)
    if fault == "invalid":
        with open(path, "wb") as file:
            file.write(b"-\n")
    with pytest.raises(errors.BootsealError, match=f"identity/{name}: it is (missing|not)"):
        identity.whoami(container.run)


@pytest.mark.parametrize(("name", "data"), [("boot-id", b"f" * 32), ("ed25519.pub", layout.encode_ed25519(b"k" * 32))])
def test_another_boots_identity_is_never_told(container, name, data):
    os.unlink(f"{container.run.identity}/{name}")
    with open(f"{container.run.identity}/{name}", "wb") as file:
        file.write(data)
    with pytest.raises(errors.InvalidRecord, match=f"identity/{name}: it is not the one that this boot began with"):
        identity.whoami(container.run)


def test_what_a_mounted_identity_lacks_is_the_boots(container, monkeypatch):
    monkeypatch.setattr(layout, "is_read_only", lambda _fd: True)
    whole = identity.whoami(container.run)
    for name in ("boot-id", "ed25519.pub"):
        os.unlink(f"{container.run.identity}/{name}")
    assert identity.whoami(container.run) == whole


def test_without_the_boot_record_it_says_so(container):
    os.unlink(container.run.boot_record)
    with pytest.raises(errors.InvalidRecord, match=r"boot\.json: No such file"):
        identity.whoami(container.run)


def test_answering_loads_no_signature_library(container):
    program = (
        "import sys; from contract import rundir; from probes import identity;"
        f" identity.whoami(rundir.RunDirectory({container.run.path!r}));"
        " sys.exit(any(name in sys.modules for name in ('cryptography', 'coincurve', 'bech32')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
