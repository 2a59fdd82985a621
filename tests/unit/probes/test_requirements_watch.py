"""Looking in the background: what hangs holds up itself alone, what breaks is a finding, the identity is this boot's."""

import asyncio
import dataclasses
import os
import threading

import pytest

from contract import boot_record, events, files
from manifest import serving
from probes import background, observed
from probes.checks import verdict
from probes.requirements import board, mount, own_identity, watch

PATIENCE_SECONDS = 30.0


def mounts(*paths):
    rows = tuple(serving.MountPlan(str(path), False, True, 0, True) for path in paths)
    return serving.ReadinessPlan(rows, (), 0.0)


def observe(boot):
    return observed.Observed(
        boot.record, boot.loaded, events.Emitter("probes", boot.record.boot_id, None, lambda _: True)
    )


def met(known):
    return {row.id: row.met for row in known.requirements()}


def watched(known, boot, claim):
    """Watch in a real loop until ``claim`` holds, in vain for 30 s at most."""

    async def run():
        watcher = watch.Watch(known, boot.run, asyncio.get_running_loop())
        watcher.start()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not claim():  # noqa: ASYNC110  (what it waits for is told by nobody)
                    await asyncio.sleep(0.01)
        finally:
            watcher.stop()

    asyncio.run(run())


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(board, "LOOK_SECONDS", 0.02)


def test_the_identity_is_required_without_any_plan_saying_so(boot):
    known = observe(boot)

    watched(known, boot, lambda: met(known) == {"identity": True})

    assert known.required_names()[-1] == "identity"


def test_a_mount_that_hangs_holds_up_no_other_and_gets_no_second_thread(make, tmp_path, monkeypatch, quick):
    paths = [tmp_path / "hung", tmp_path / "sound"]
    for path in paths:
        path.mkdir()
    boot = make.boot(tmp_path, readiness=mounts(*paths))
    release, looks = threading.Event(), {"hung": 0, "sound": 0}

    def look(self):
        looks[os.path.basename(self._wanted.path)] += 1
        if self._wanted.path.endswith("hung"):
            release.wait(PATIENCE_SECONDS)
        return verdict.PASSED

    monkeypatch.setattr(mount.Look, "once", look)
    known = observe(boot)
    before = threading.active_count()
    try:
        watched(known, boot, lambda: looks["sound"] >= 20)
        assert looks["hung"] == 1
        assert threading.active_count() <= before + 3
        assert met(known) == {str(paths[0]): False, str(paths[1]): True, "identity": True}
    finally:
        release.set()


def test_a_look_that_breaks_is_an_unmet_requirement_and_logged_once(make, tmp_path, monkeypatch, quick, caplog):
    boot = make.boot(tmp_path, readiness=mounts(tmp_path))
    looks = []

    def look(_self):
        looks.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(mount.Look, "once", look)
    known = observe(boot)

    watched(known, boot, lambda: len(looks) > 3 and not met(known)[str(tmp_path)])

    [row] = [row for row in known.requirements() if row.kind == "mount"]
    assert row.reason == "it could not be looked at: ZeroDivisionError"
    assert len([record for record in caplog.records if "the look at mount:" in record.message]) == 1


def test_no_thread_left_to_look_with_ends_the_server_instead_of_leaving_it_blind(boot, monkeypatch):
    def start(_self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(background.Periodic, "start", start)

    with pytest.raises(RuntimeError):
        watched(observe(boot), boot, lambda: True)


def test_the_identity_of_this_boot_is_met(boot):
    assert own_identity.look(boot.run, boot.record) == verdict.PASSED


@pytest.mark.parametrize("name", ["id", "boot-id", "ed25519.pub"])
def test_an_identity_that_lacks_a_file_is_named(boot, name):
    os.unlink(f"{boot.run.identity}/{name}")

    found = own_identity.look(boot.run, boot.record)

    assert found == verdict.failed(f"identity {boot.run.identity}/{name}: it is missing")


def test_another_boots_identity_is_refused(boot):
    files.write_atomically(f"{boot.run.identity}/boot-id", b"0" * 32, 0o444)

    assert own_identity.look(boot.run, boot.record).reason.endswith("it is not the one that this boot began with")


@pytest.mark.parametrize("field", ["boot_id", "public_key"])
def test_an_identity_that_was_changed_together_with_the_record_is_refused(make, tmp_path, field):
    """What this process read when it began is what counts: no file can change that."""
    boot, other = make.boot(tmp_path / "one"), make.boot(tmp_path / "two")
    changed = {"boot_id": "f" * 32, "public_key": other.record.public_key}[field]
    boot_record.write(boot.run, dataclasses.replace(boot.record, **{field: changed}))
    if field == "boot_id":
        files.write_atomically(f"{boot.run.identity}/boot-id", b"f" * 32, 0o444)
    else:
        with open(f"{other.run.identity}/ed25519.pub", "rb") as file:
            files.write_atomically(f"{boot.run.identity}/ed25519.pub", file.read(), 0o444)

    found = own_identity.look(boot.run, boot.record)

    assert not found.ok
    assert "is not the one that this boot began with" in found.reason


def test_an_identity_directory_that_is_gone_is_named(boot):
    for name in os.listdir(boot.run.identity):
        os.unlink(f"{boot.run.identity}/{name}")
    os.rmdir(boot.run.identity)

    assert own_identity.look(boot.run, boot.record).reason.startswith(f"identity {boot.run.identity}: ")
