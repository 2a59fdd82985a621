"""What the seal program writes, in which order, and what it leaves when that fails."""

import base64
import dataclasses
import json
import os
import types

import pytest

from contract import attested, boot_record, errors, events, files, rundir
from manifest import plan, provisions
from seal import decision, loop, record
from tests.unit import boots

CLOSURES = (
    boot_record.Closure("api", "ab" * 32, "digest", ""),
    boot_record.Closure("tool", "cd" * 32, "metadata", "2 files are missing"),
)
ARTIFACTS = (
    provisions.ArtifactPlan("api", "/img/api", required=True, verify="digest"),
    provisions.ArtifactPlan("tool", "/img/tool", required=False, verify="metadata"),
)
COMPLETE = decision.Complete((boots.view("api"),))


def work(path, **changes) -> loop.Work:
    container = boots.container(f"{path}/run", closures=CLOSURES, **changes)
    lock = provisions.LockPlan("ef" * 32, "/img")
    loaded = plan.LoadedPlan(boots.make_plan(artifacts=ARTIFACTS, lock=lock), "/opt/box", boots.SHA256)
    emitter = events.Emitter("seal", boots.BOOT_ID, None, lambda _line: True)
    return loop.Work(container.run, container.record, loaded, types.SimpleNamespace(), emitter)


@pytest.fixture
def written(monkeypatch):
    """The names of the files that are written from now on, in their order."""
    names = []
    original = files.write_atomically

    def write(path, data, mode, **named):
        names.append(os.path.basename(path))
        original(path, data, mode, **named)

    monkeypatch.setattr(files, "write_atomically", write)
    return names


def seal(of: loop.Work) -> int:
    return loop._seal(of, boots.ledger(), COMPLETE, 0.0)


def test_the_record_says_how_stage_a_found_each_artifact(tmp_path):
    of = work(tmp_path)
    assert seal(of) == 0
    sealed = record.accept(files.read_bounded(of.run.seal, record.LIMIT), record.expected(of.run))
    assert sealed.lock_sha256 == "ef" * 32
    assert sealed.artifacts == (
        record.Artifact("api", "ab" * 32, "digest", usable=True, required=True),
        record.Artifact("tool", "cd" * 32, "metadata", usable=False, required=False),
    )


@pytest.mark.parametrize(
    "found",
    [
        None,
        boots.attested_security(
            differences=(attested.Difference("pids", "1024", "2048", weaker=True, mend="--pids-limit=1024"),),
            unknown={"cpus": "why"},
        ),
    ],
)
def test_the_record_and_its_statement_hold_the_profile_that_stage_a_found(tmp_path, found):
    of = work(tmp_path, security=found)
    assert seal(of) == 0
    sealed = record.accept(files.read_bounded(of.run.seal, record.LIMIT), record.expected(of.run))
    assert sealed.security == found
    with open(of.run.attestation, "rb") as file:
        payload = json.loads(base64.b64decode(json.loads(file.read())["payload"]))
    assert payload["predicate"]["security"] == (found.plain() if found else None)


def test_an_artifact_that_stage_a_does_not_speak_of_is_not_sealed(tmp_path):
    of = work(tmp_path)
    of = dataclasses.replace(of, boot=dataclasses.replace(of.boot, closures=CLOSURES[1:]))
    with pytest.raises(errors.InvalidRecord, match="artifact api"):
        seal(of)
    assert not os.path.exists(of.run.seal)


def test_who_sees_the_seal_finds_the_statement_too(tmp_path, written):
    of = work(tmp_path)
    seal(of)
    assert written[-2:] == ["bootstrap.intoto.jsonl", "bootstrap.done"]
    for path in (of.run.attestation, of.run.seal):
        assert os.stat(path).st_mode & 0o777 == 0o444
    with open(of.run.attestation, "rb") as file:
        assert json.loads(file.read())["payloadType"] == "application/vnd.in-toto+json"


def test_a_statement_that_cannot_be_written_fails_the_seal(tmp_path):
    of = work(tmp_path)
    os.makedirs(f"{of.run.attestation}/in-the-way")
    with pytest.raises(OSError, match=r"bootstrap\.intoto\.jsonl"):
        seal(of)
    assert not os.path.exists(of.run.seal)


def test_a_record_that_would_not_be_accepted_is_removed_with_its_statement(tmp_path):
    of = work(tmp_path)
    boot_record.write(of.run, dataclasses.replace(of.boot, generation=2))
    with pytest.raises(record.NotThisBoot):
        seal(of)
    assert not os.path.exists(of.run.seal)
    assert not os.path.exists(of.run.attestation)


def test_an_earlier_seal_goes_first_and_its_statement_with_it(tmp_path):
    of = work(tmp_path)
    seal(of)
    assert rundir.remove_seal(of.run)
    assert not os.path.exists(of.run.attestation)
    assert not rundir.remove_seal(of.run)
    seal(of)
    os.unlink(of.run.attestation)
    os.makedirs(f"{of.run.attestation}/in-the-way")
    assert rundir.remove_seal(of.run)
    assert not os.path.exists(of.run.seal), "whatever stands in the statement's place, no seal stays"
    assert not os.path.exists(of.run.attestation)
