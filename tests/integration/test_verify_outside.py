"""A real container's seal and in-toto statement, judged with nothing but copies of what it left."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tree as trees
from cryptography.hazmat.primitives import serialization
from securesystemslib import dsse
from securesystemslib.signer import SSlibKey

from artifacts import closure, lock


def verify(*arguments: object) -> tuple[int, Any]:
    command = [sys.executable, "-m", "entrypoint", "verify", "--format", "json", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=trees.PATIENCE_SECONDS)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def make_artifact(tree: trees.Tree) -> closure.Closure:
    """Make an artifact of one file beside the manifest, and the lock that closes over it."""
    (tree.root / "app").mkdir()
    (tree.root / "app" / "main").write_text("#!/bin/sh\n")
    (tree.root / "app" / "main").chmod(0o644)
    (tree.root / "app").chmod(0o755)
    digest = hashlib.sha256(b"#!/bin/sh\n").hexdigest()
    entries = [closure.directory("./app", 0o755), closure.file("./app/main", 0o644, 10, digest)]
    closed = closure.make("app", "tree", "./app", entries)
    (tree.root / "closures.lock").write_bytes(lock.dump(closure.Lock((closed,))))
    return closed


@pytest.fixture
def sealed(tree: trees.Tree) -> trees.Tree:
    make_artifact(tree)
    tree.build({**trees.ONE, "artifacts": {"app": {"path": str(tree.root / "app"), "verify": "digest"}}})
    tree.start().wait_ready()
    return tree


def copied(tree: trees.Tree, name: str) -> Path:
    """Copy what a supply chain would keep, and return where."""
    kept = tree.root / name
    kept.mkdir()
    for path in (tree.run.seal, tree.run.attestation, f"{tree.run.identity}/ed25519.pub"):
        shutil.copy(path, kept)
    shutil.copytree(tree.plan_directory, kept / "plan")
    return kept


def outside(kept: Path) -> list[object]:
    return ["--seal", kept / "bootstrap.done", "--key", kept / "ed25519.pub", "--plan", kept / "plan"]


def test_a_container_that_is_gone_is_still_verified_by_what_it_left(sealed: trees.Tree) -> None:
    kept = copied(sealed, "kept")
    assert sealed.stop() == 0
    shutil.rmtree(sealed.run.path)
    code, said = verify(*outside(kept), "--generation", 1)
    assert code == 0 and said["accepted"], said
    root = lock.parse((kept / "plan" / "closures.lock").read_bytes(), "lock").closures[0].sha256
    assert said["seal"]["artifacts"] == [
        {"id": "app", "sha256": root, "verified": "digest", "usable": True, "required": True}
    ]
    code, said = verify(*outside(kept), "--generation", 2)
    assert code == 1 and said["refusal"]["kind"] == "NotThisBoot"
    with (kept / "plan" / "closures.lock").open("ab") as file:
        file.write(b"\n")
    code, said = verify(*outside(kept))
    assert code == 1 and said["refusal"]["what"].startswith("lock ")


def test_supply_chain_tools_read_the_statement_beside_the_seal(sealed: trees.Tree) -> None:
    kept = copied(sealed, "kept")
    assert Path(sealed.run.attestation).stat().st_mode & 0o777 == 0o444
    envelope = dsse.Envelope.from_dict(json.loads((kept / "bootstrap.intoto.jsonl").read_text()))
    key = serialization.load_pem_public_key((kept / "ed25519.pub").read_bytes())
    envelope.verify([SSlibKey.from_crypto(key)], 1)
    statement = json.loads(envelope.payload)
    seal = json.loads((kept / "bootstrap.done").read_text())
    del seal["signature"]
    assert statement["predicate"] == seal
    digests = {subject["name"]: subject["digest"] for subject in statement["subject"]}
    root = seal["artifacts"][0]["sha256"]
    assert digests == {
        "plan.json": {"sha256": seal["plan_sha256"]},
        "closures.lock": {"sha256": seal["lock_sha256"]},
        "artifact:app": {"bootsealClosure1": root},
    }


def test_a_new_generation_has_a_seal_and_a_statement_of_its_own(sealed: trees.Tree) -> None:
    first = copied(sealed, "first")
    assert sealed.process is not None
    sealed.process.send_signal(signal.SIGHUP)
    trees.wait_until(lambda: len(sealed.events("BootstrapCompleted")) == 2, "the second seal")
    second = copied(sealed, "second")
    for kept, generation in ((first, 1), (second, 2)):
        assert verify(*outside(kept), "--generation", generation)[0] == 0
        payload = dsse.Envelope.from_dict(json.loads((kept / "bootstrap.intoto.jsonl").read_text())).payload
        assert json.loads(payload)["predicate"]["generation"] == generation


def test_without_the_statement_there_is_no_seal(tree: trees.Tree) -> None:
    """What stands in its place cannot be replaced: the boot fails at its deadline and names the file."""
    planter = {"command": ["mkdir", "-p", f"{tree.run.attestation}/in-the-way"], "oneshot": True}
    tree.build({"programs": {"planter": planter}, "boot": {"seal_timeout": "3s"}})
    tree.start()
    assert tree.exit_code() == 6
    assert "bootstrap.intoto.jsonl" in tree.stdout() + tree.stderr()
    assert not Path(tree.run.seal).exists()
