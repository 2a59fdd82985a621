import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import errors, identity, rundir
from tests.unit import boots

RAW = bytes(range(32))
PEM = identity.encode_ed25519(RAW)
# NIP-19, "Bare keys and ids".
HEX = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"
NPUB = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg"
NOSTR = {"nostr.pub": HEX.encode(), "npub": NPUB.encode(), "did": f"did:nostr:{HEX}".encode()}
OURS = {"id": b"box-7", "boot-id": boots.BOOT_ID.encode(), "ed25519.pub": PEM}
WHOLE = {**OURS, **NOSTR}


@pytest.fixture
def run(tmp_path) -> rundir.RunDirectory:
    made = rundir.open_or_create(f"{tmp_path}/run")
    os.mkdir(made.identity)
    put(made, OURS)
    return made


def put(run: rundir.RunDirectory, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        with open(f"{run.identity}/{name}", "wb") as file:
            file.write(data)


def mount(run: rundir.RunDirectory, content: dict[str, bytes]) -> None:
    """Make the identity directory what Kubernetes projects: ``id -> ..data/id``, ``..data -> ..2026``."""
    shutil.rmtree(run.identity)
    os.makedirs(f"{run.identity}/..2026")
    os.symlink("..2026", f"{run.identity}/..data")
    for name, data in content.items():
        with open(f"{run.identity}/..2026/{name}", "wb") as file:
            file.write(data)
        os.symlink(f"..data/{name}", f"{run.identity}/{name}")


@pytest.fixture
def mounted(monkeypatch) -> None:
    """Every file system is read-only."""
    monkeypatch.setattr(identity, "is_read_only", lambda _fd: True)


def test_what_is_there_is_read(run):
    assert identity.read(run) == identity.PublicIdentity("box-7", boots.BOOT_ID, RAW, None, None, None)
    put(run, NOSTR)
    whole = identity.read(run)
    assert (whole.nostr, whole.npub, whole.did) == (HEX, NPUB, f"did:nostr:{HEX}")
    assert identity.read_id(run) == "box-7"


def test_it_is_read_at_each_use(run):
    assert identity.read_id(run) == "box-7"
    put(run, {"id": b"other"})
    assert (identity.read_id(run), identity.read(run).id) == ("other", "other")


@pytest.mark.parametrize("name", OURS)
def test_what_is_missing_is_named(run, name):
    os.unlink(f"{run.identity}/{name}")
    with pytest.raises(errors.InvalidRecord, match=f"identity/{name}: it is missing"):
        identity.read(run)


def test_a_missing_directory_is_named(run):
    shutil.rmtree(run.identity)
    with pytest.raises(errors.InvalidRecord, match="run/identity: No such file"):
        identity.read(run)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("id", b""), ("id", b"box\n"), ("id", b"Box"), ("id", b"-a"), ("id", b"a-"), ("id", b"a" * 64), ("id", b"a\0"), ("id", b"\xff"),
        ("boot-id", b""), ("boot-id", boots.BOOT_ID.encode() + b"\n"), ("boot-id", boots.BOOT_ID[:-1].encode()), ("boot-id", b"A" * 32),
        ("ed25519.pub", b""), ("ed25519.pub", RAW), ("ed25519.pub", PEM + b"\n"), ("ed25519.pub", b"\n" + PEM), ("ed25519.pub", PEM[:-30]),
        ("ed25519.pub", PEM.replace(b"\n", b"\r\n")), ("ed25519.pub", PEM.replace(b"PUBLIC", b"PRIVATE")),
        ("ed25519.pub", PEM.replace(b"MCowBQYDK2Vw", b"MCowBQYDK2Vx")), ("ed25519.pub", PEM.replace(b"8=\n", b"9=\n")),
        ("nostr.pub", HEX.upper().encode()), ("nostr.pub", HEX.encode() + b"\n"), ("nostr.pub", b"0" * 64),
        ("npub", NPUB.upper().encode()), ("npub", NPUB.encode() + b"\n"), ("npub", NPUB.replace("npub", "nsec").encode()),
        ("npub", NPUB.replace("10elf", "10elg").encode()), ("npub", b"npub1" + b"q" * 57 + b"b"),
        ("did", b"did:nostr:" + b"0" * 64), ("did", b"did:key:" + HEX.encode()), ("did", f"did:nostr:{HEX}\n".encode()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_mounted", [False, True])
def test_what_is_not_of_its_form_is_refused_and_named(name, data, is_mounted):
    with pytest.raises(errors.InvalidRecord, match=r"^identity /x/(id|boot-id|ed25519.pub|npub|did|nostr.pub): it is"):
        identity.parse({**WHOLE, name: data}, "/x", is_mounted=is_mounted)


@pytest.mark.parametrize("name", NOSTR)
def test_the_files_of_nostr_come_together(name):
    with pytest.raises(errors.InvalidRecord, match=f"/x/{name}: it is missing beside"):
        identity.parse({other: data for other, data in WHOLE.items() if other != name}, "/x", is_mounted=True)


def test_a_mounted_identity_needs_only_its_id():
    found = identity.parse({"id": b"box"}, "/x", is_mounted=True)
    assert found == identity.PublicIdentity("box", None, None, None, None, None)
    with pytest.raises(errors.InvalidRecord, match="/x/id: it is missing"):
        identity.parse(NOSTR, "/x", is_mounted=True)


@given(st.dictionaries(st.sampled_from(identity.FILES), st.binary(max_size=200)), st.booleans())
def test_any_bytes_are_an_identity_or_a_refusal(content, is_mounted):
    try:
        found = identity.parse({**WHOLE, **content}, "/x", is_mounted=is_mounted)
    except errors.BootsealError:
        return
    assert identity.is_label(found.id)


@given(st.binary(max_size=5000))
def test_any_file_of_bytes_is_an_identity_or_a_refusal(data):
    for name in identity.FILES:
        try:
            identity.parse({**WHOLE, name: data}, "/x", is_mounted=False)
        except errors.BootsealError:
            continue
        assert data.strip() == WHOLE[name].strip() or name in {"id", "boot-id"}


@given(st.binary(min_size=32, max_size=32))
def test_every_key_comes_back(raw):
    assert identity.parse({**WHOLE, "ed25519.pub": identity.encode_ed25519(raw)}, "/x", is_mounted=False).ed25519 == raw


def test_it_reads_what_the_library_writes():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate().public_key()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert identity.encode_ed25519(key.public_bytes_raw()) == pem


@pytest.mark.parametrize("plant", ["symlink", "fifo", "directory", "huge"])
def test_what_is_no_small_regular_file_is_refused(run, plant):
    path = f"{run.identity}/id"
    os.unlink(path)
    match plant:
        case "symlink":
            os.symlink("/etc/hostname", path)
        case "fifo":
            os.mkfifo(path)
        case "directory":
            os.mkdir(path)
        case _:
            put(run, {"id": b"a" * 5000})
    with pytest.raises(errors.BootsealError, match="run/identity/id: "):
        identity.read_id(run)
    with pytest.raises(errors.BootsealError, match="run/identity/id: "):
        identity.read(run)


def test_a_volume_that_kubernetes_projects_is_read(run, mounted):
    mount(run, WHOLE)
    assert identity.read(run) == identity.parse(WHOLE, "/x", is_mounted=True)
    assert identity.read_id(run) == "box-7"


def test_such_links_are_not_followed_where_somebody_could_have_made_them(run):
    mount(run, WHOLE)
    with pytest.raises(errors.InvalidRecord, match="symbolic links"):
        identity.read(run)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("id", "/etc/hostname"), ("id", "..2026/id"), ("id", "..data/../../secret"), ("id", "..data/boot-id"),
        ("..data", "/tmp"), ("..data", ".."), ("..data", "..2026/.."), ("..data", "../run"), ("..data", "."),
    ],
)  # fmt: skip
def test_links_that_lead_elsewhere_are_not_followed_in_a_mount_either(run, mounted, link, target):
    mount(run, WHOLE)
    os.unlink(f"{run.identity}/{link}")
    os.symlink(target, f"{run.identity}/{link}")
    with pytest.raises(errors.InvalidRecord, match=r"identity/id: .*symbolic links"):
        identity.read(run)


def test_a_version_that_is_itself_a_link_is_not_followed(run, mounted, tmp_path):
    mount(run, WHOLE)
    os.rename(f"{run.identity}/..2026", tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", f"{run.identity}/..2026")
    with pytest.raises(errors.InvalidRecord):
        identity.read(run)


def test_what_is_missing_in_a_projected_volume_is_missing(run, mounted):
    mount(run, {"id": b"pod"})
    os.symlink("..data/ed25519.pub", f"{run.identity}/ed25519.pub")
    assert identity.read(run).ed25519 is None


def test_reading_it_loads_no_library():
    program = "import sys; from contract import identity; sys.exit(any(n.split('.')[0] in {'cryptography','coincurve','bech32'} for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
