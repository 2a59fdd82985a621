import json
import os
import subprocess
import sys
from typing import Any

import pytest

from contract import errors, rundir
from contract import identity as layout
from entrypoint import identity, identity_mount, key_sources, mounts, nostr
from tests.unit import boots

RAW = b"k" * 32
HEX = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"  # NIP-19
NOSTR = nostr.PublicKey(HEX, "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg", f"did:nostr:{HEX}")
KEYS = key_sources.PublicKeys(RAW, NOSTR, ())
WHOLE = {
    "id": b"outer", "ed25519.pub": layout.encode_ed25519(RAW),
    "nostr.pub": HEX.encode(), "npub": NOSTR.npub.encode(), "did": NOSTR.did.encode(),
}  # fmt: skip


@pytest.fixture
def run(tmp_path) -> rundir.RunDirectory:
    made = rundir.open_or_create(f"{tmp_path}/run")
    os.mkdir(made.identity)
    return made


@pytest.fixture
def read_only(monkeypatch) -> None:
    """Every file system is read-only."""
    monkeypatch.setattr(layout, "is_read_only", lambda _fd: True)


def put(run: rundir.RunDirectory, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        with open(f"{run.identity}/{name}", "wb") as file:
            file.write(data)


def table(*points: str) -> tuple[mounts.Mount, ...]:
    lines = [f"{30 + index} 29 0:{40 + index} / {point} ro - tmpfs tmpfs ro\n" for index, point in enumerate(points)]
    return mounts.parse("".join(lines))


def test_nothing_is_mounted_there_unless_it_is_at_exactly_that_path(run, read_only):
    around = table("/", os.path.dirname(run.path), run.path, f"{run.identity}-other", f"{run.identity}/labels")
    assert not identity_mount.is_mounted(run, around)
    assert identity_mount.is_mounted(run, (*around, *table(run.identity)))


def test_a_writable_mount_is_refused(run):
    with pytest.raises(errors.UnsafePath, match=r"writable.*mount it read-only"):
        identity_mount.is_mounted(run, table(run.identity))


@pytest.mark.parametrize("name", ["id", "ed25519.pub", "..data", "..2026/id"])
@pytest.mark.parametrize("whole", [False, True])
def test_single_files_mounted_into_it_are_refused(run, read_only, name, whole):
    points = [f"{run.identity}/{name}", *([run.identity] if whole else [])]
    with pytest.raises(errors.UnsafePath, match="mount the whole directory"):
        identity_mount.is_mounted(run, table(*points))


@pytest.mark.parametrize("content", [WHOLE, {"id": b"outer"}, {"id": b"outer", "labels.json": b"\xff{"}])
def test_an_outer_identity_names_the_container(run, read_only, content):
    put(run, content)
    assert identity_mount.accept(run, KEYS) == "outer"


@pytest.mark.parametrize("content", [{}, {"labels.json": b"{}"}, {"ed25519.pub": WHOLE["ed25519.pub"]}])
def test_an_outer_identity_without_an_id_is_refused(run, read_only, content):
    put(run, content)
    with pytest.raises(errors.InvalidRecord, match="identity/id: it is missing"):
        identity_mount.accept(run, KEYS)


@pytest.mark.parametrize("data", [b"", b"outer\n", b"Outer", b"../etc"])
def test_an_outer_id_that_is_no_label_is_refused(run, read_only, data):
    put(run, {"id": data})
    with pytest.raises(errors.InvalidRecord, match="DNS-1123"):
        identity_mount.accept(run, KEYS)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (key_sources.PublicKeys(b"o" * 32, NOSTR, ()), "ed25519.pub"),
        (key_sources.PublicKeys(RAW, nostr.PublicKey("0" * 64, NOSTR.npub, NOSTR.did), ()), "nostr.pub"),
        (key_sources.PublicKeys(RAW, nostr.PublicKey(HEX, NOSTR.npub[:-1] + "q", NOSTR.did), ()), "npub"),
        (key_sources.PublicKeys(RAW, None, ()), "nostr.pub"),
    ],
)
def test_an_outer_identity_with_another_containers_key_is_refused(run, read_only, keys, named):
    put(run, WHOLE)
    with pytest.raises(errors.BootsealError, match=f"identity/{named}: it is not the key of this container"):
        identity_mount.accept(run, keys)


def test_an_outer_boot_id_is_another_boots(run, read_only):
    put(run, {"id": b"outer", "boot-id": boots.BOOT_ID.encode()})
    with pytest.raises(errors.BootsealError, match="identity/boot-id: it is another boot's"):
        identity_mount.accept(run, KEYS)


WORK = """
import json, os, sys
from contract import errors, rundir
from entrypoint import identity, mounts
from tests.unit import boots
run = rundir.RunDirectory(sys.argv[1])
os.environ["AGENT_ID"] = "Not A Label"
try:
    made = identity.establish(boots.identity("AGENT_ID"), run, boots.BOOT_ID, mounts.read())
    print(json.dumps({"id": made.id, "source": made.source, "key": made.public_key_base64, "files": sorted(os.listdir(run.identity))}))
except errors.BootsealError as error:
    print(json.dumps({"error": str(error)}))
"""


def boot_with(run: rundir.RunDirectory, *commands: str) -> Any:
    """Establish the identity in a mount namespace in which ``commands`` ran before."""
    program = " && ".join([*commands, 'exec "$@"'])
    unshare = ["unshare", "--mount", "--propagation=private", "sh", "-c", program, "sh"]
    done = subprocess.run(
        [*unshare, sys.executable, "-c", WORK, run.path], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0
    or subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0,
    reason="needs root and a mount namespace of its own",
)


@needs_mounts
def test_a_real_read_only_mount_is_used_and_nothing_is_written_there(run, tmp_path):
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "id").write_bytes(b"outer")
    seen = boot_with(run, f"mount --bind {outer} {run.identity}", f"mount -o remount,bind,ro {run.identity}")
    assert (seen["id"], seen["source"], seen["files"]) == ("outer", identity.MOUNT, ["id"])
    assert os.listdir(outer) == ["id"]
    assert os.listdir(run.keys) == ["ed25519.key"]


@needs_mounts
def test_a_real_mount_of_the_form_that_kubernetes_projects_is_used(run, tmp_path):
    outer = tmp_path / "outer"
    (outer / "..2026").mkdir(parents=True)
    (outer / "..2026" / "id").write_bytes(b"pod-0")
    (outer / "..data").symlink_to("..2026")
    (outer / "id").symlink_to("..data/id")
    seen = boot_with(run, f"mount --bind {outer} {run.identity}", f"mount -o remount,bind,ro {run.identity}")
    assert seen["id"] == "pod-0"


@needs_mounts
def test_a_real_writable_mount_is_refused_and_nothing_is_written_there(run, tmp_path):
    seen = boot_with(run, f"mount -t tmpfs tmpfs {run.identity}")
    assert "writable" in seen["error"]


@needs_mounts
def test_a_real_empty_mount_is_refused(run, tmp_path):
    seen = boot_with(run, f"mount -t tmpfs -o ro tmpfs {run.identity}")
    assert "identity/id: it is missing" in seen["error"]


@needs_mounts
def test_without_a_mount_the_manifests_rule_counts_even_there(run):
    assert "variable AGENT_ID" in boot_with(run, "true")["error"]
