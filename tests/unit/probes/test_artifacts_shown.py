"""What /health and /v1/meta say of artifacts and runtimes."""

import dataclasses

import pytest

from artifacts import runtimes
from contract import boot_record, events, files
from manifest import plan, provisions
from probes import answers, meta, observed

CLOSURES = (
    boot_record.Closure("api", "ab" * 32, "digest", ""),
    boot_record.Closure("tool", None, "presence", "/opt/tool is not there"),
)
SHOWN = [
    {"id": "api", "sha256": "ab" * 32, "verified": "digest", "usable": True, "reason": ""},
    {"id": "tool", "sha256": None, "verified": "presence", "usable": False, "reason": "/opt/tool is not there"},
]


@pytest.fixture
def known(boot):
    """What the server knows of a boot that found one artifact and not the other."""

    def made(**plan_changes) -> observed.Observed:
        loaded = plan.LoadedPlan(dataclasses.replace(boot.plan, **plan_changes), "/plan", boot.plan_sha256)
        record = dataclasses.replace(boot.record, closures=CLOSURES)
        return observed.Observed(record, loaded, events.Emitter("test", "b", None, lambda _line: True))

    return made


def test_health_and_meta_tell_each_artifact_as_stage_a_found_it(known, boot):
    assert answers.health(known())().value["boot"]["artifacts"] == SHOWN
    assert meta.describe(known(), boot.run, {})["artifacts"] == SHOWN


def test_meta_tells_the_lock_that_the_artifacts_were_judged_by(known, boot):
    assert meta.describe(known(), boot.run, {})["lock_sha256"] is None
    locked = known(lock=provisions.LockPlan("cd" * 32, "/"))
    assert meta.describe(locked, boot.run, {})["lock_sha256"] == "cd" * 32


def test_meta_tells_the_runtimes_that_stage_a_found(known, boot):
    found = (runtimes.Runtime("python", "/usr/bin/python3", "3.11.2"), runtimes.Runtime("own", "/usr/bin/own", None))
    files.write_atomically(boot.run.runtimes, runtimes.dump(found), 0o444)
    assert meta.describe(known(runtimes=("python",)), boot.run, {})["runtimes"] == [
        {"name": "python", "path": "/usr/bin/python3", "version": "3.11.2"},
        {"name": "own", "path": "/usr/bin/own", "version": None},
    ]


def test_a_plan_without_runtimes_has_none_whatever_lies_in_the_run_directory(known, boot):
    files.write_atomically(boot.run.runtimes, b"left by somebody", 0o444)
    assert meta.describe(known(), boot.run, {})["runtimes"] == []


@pytest.mark.parametrize("data", [None, b"", b"garbage", b"{}"])
def test_runtimes_that_cannot_be_read_are_an_error_and_meta_is_answered(known, boot, data):
    if data is not None:
        files.write_atomically(boot.run.runtimes, data, 0o444)
    value = meta.describe(known(runtimes=("python",)), boot.run, {})
    assert boot.run.runtimes in value["runtimes"]["error"]
    assert value["plan_sha256"] == boot.plan_sha256
