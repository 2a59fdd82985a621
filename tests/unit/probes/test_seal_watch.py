"""The seal counts only when the ledger, the digest and the signature say so."""

import dataclasses
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from contract import clock, errors
from probes import readiness, seal_watch


class Watched:
    """A watch on a real seal of a real boot, checked by hand."""

    def __init__(self, boot, ledger):
        self.ledger = ledger
        self.told = []
        self.began = []
        self.watch = seal_watch.SealWatch(
            boot.run.seal, lambda: self.ledger, lambda: seal_watch.acceptor(boot.record), self.tell
        )

    def tell(self, verdict, began):
        self.told.append(verdict)
        self.began.append(began)

    def check(self):
        self.watch.check()
        return self.told[-1]


@pytest.fixture
def sealed(boot):
    watched = Watched(boot, boot.sealed_ledger())
    assert watched.check().is_accepted
    return watched


def overwrite(path, data):
    """Change the file in place, as an intruder would: same inode, and mode 0444 is no obstacle for its owner."""
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate()


def test_this_boots_seal_is_accepted(sealed):
    assert sealed.told[-1].reason == ""
    assert (sealed.told[-1].generation, sealed.told[-1].elapsed_seconds) == (1, 1.5)


def test_a_file_that_the_ledger_does_not_know_is_not_even_read(boot, make):
    watched = Watched(boot, make.ledger(seal=None))
    boot.write_seal(boot.seal_bytes())
    os.chmod(boot.run.seal, 0)

    assert not watched.check().is_accepted
    assert watched.told[-1].reason == "this generation is not sealed"


def test_without_a_ledger_there_is_no_verdict(boot):
    watched = Watched(boot, None)

    assert (watched.check().is_judged, watched.told[-1].reason) == (False, readiness.NOT_JUDGED)


def test_every_look_is_told_with_the_moment_it_began_and_the_same_verdict_as_the_same_object(boot):
    watched = Watched(boot, boot.sealed_ledger())
    began = clock.monotonic()
    for _ in range(3):
        watched.check()

    assert len(watched.began) == 3
    assert began <= watched.began[0] < watched.began[1] < watched.began[2] <= clock.monotonic()
    assert watched.told[0] is watched.told[1] is watched.told[2]


def test_since_is_the_last_change_between_accepted_and_not_however_often_the_reason_changes(boot, sealed, monkeypatch):
    accepted = sealed.told[-1].since
    ticks = iter(f"2026-01-01T00:01:{second:02}.000Z" for second in range(60))
    monkeypatch.setattr(clock, "rfc3339", lambda: next(ticks))
    assert sealed.check().since == accepted

    data = boot.seal_bytes()
    overwrite(boot.run.seal, b"")
    edited = sealed.check()
    os.unlink(boot.run.seal)
    removed = sealed.check()
    boot.write_seal(data)

    assert edited.reason != removed.reason
    assert accepted != edited.since == removed.since != sealed.check().since


def test_since_of_a_refusal_moves_with_the_generation(boot, sealed, make, monkeypatch):
    ticks = iter(f"2026-01-01T00:01:{second:02}.000Z" for second in range(60))
    monkeypatch.setattr(clock, "rfc3339", lambda: next(ticks))
    os.unlink(boot.run.seal)
    first = sealed.check()
    sealed.ledger = make.ledger(generation=2, seal=sealed.ledger.seal)

    assert sealed.check().since != first.since


@pytest.mark.parametrize("how", ["remove", "symlink", "directory", "fifo", "empty", "truncate", "one bit", "replace"])
def test_a_seal_that_is_touched_does_not_count_until_its_bytes_are_back(boot, sealed, how):
    path, data = boot.run.seal, boot.seal_bytes()
    if how in {"remove", "symlink", "directory", "fifo", "replace"}:
        os.unlink(path)
    if how == "symlink":
        boot.write_seal(data)
        os.rename(path, f"{path}.real")
        os.symlink(f"{path}.real", path)
    elif how == "directory":
        os.mkdir(path)
    elif how == "fifo":
        os.mkfifo(path)
    elif how == "empty":
        overwrite(path, b"")
    elif how == "truncate":
        overwrite(path, data[:-10])
    elif how == "one bit":
        overwrite(path, data[:50] + bytes([data[50] ^ 1]) + data[51:])
    elif how == "replace":
        boot.write_seal(boot.seal_bytes(late=True))

    refused = sealed.check()

    assert not refused.is_accepted
    assert path in refused.reason
    os.rmdir(path) if how == "directory" else how == "remove" or os.unlink(path)
    boot.write_seal(data)
    assert sealed.check().is_accepted


def test_an_edit_that_keeps_size_and_time_shows_too(boot, sealed):
    status = os.stat(boot.run.seal)
    data = boot.seal_bytes()
    overwrite(boot.run.seal, data.replace(b'"late": false', b'"late":  true'))
    os.utime(boot.run.seal, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert os.stat(boot.run.seal).st_size == status.st_size
    assert not sealed.check().is_accepted


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"boot_id": "f" * 32}, "boot_id"), ({"generation": 2}, "generation"), ({"pid1_start": 1}, "pid1_start"),
        ({"plan_sha256": "0" * 64}, "plan_sha256"), ({"schema": "bootseal.seal/9"}, "schema"),
    ],
)  # fmt: skip
def test_a_record_that_is_not_this_boots_is_refused_even_when_the_ledger_names_its_digest(boot, make, changes, word):
    watched = Watched(boot, make.ledger(seal=boot.write_seal(boot.seal_bytes(**changes))))

    refused = watched.check()

    assert not refused.is_accepted
    assert word in refused.reason


def test_a_record_signed_by_another_key_is_refused(boot, make):
    boot.key = ed25519.Ed25519PrivateKey.generate()
    watched = Watched(boot, make.ledger(seal=boot.write_seal(boot.seal_bytes())))

    assert "signature" in watched.check().reason


def test_a_new_generation_needs_a_new_seal(boot, sealed, make):
    sealed.ledger = make.ledger(generation=2, seal=sealed.ledger.seal)

    assert "generation" in sealed.check().reason


def test_the_signature_is_verified_once_per_content(boot, make):
    calls = []

    def accept(data, generation):
        calls.append(generation)
        return 1.0

    ledger = boot.sealed_ledger()
    told = []
    watch = seal_watch.SealWatch(boot.run.seal, lambda: ledger, lambda: accept, lambda *found: told.append(found))
    for _ in range(3):
        watch.check()

    assert calls == [1]
    assert len(told) == 3


@pytest.mark.parametrize("error", [errors.InvalidRecord("seal", "no"), PermissionError(13, "no"), ValueError("no")])
def test_whatever_goes_wrong_is_a_refusal_that_names_the_file(boot, error):
    def accept(_data, _generation):
        raise error

    ledger = boot.sealed_ledger()
    told = []
    seal_watch.SealWatch(boot.run.seal, lambda: ledger, lambda: accept, lambda verdict, _: told.append(verdict)).check()

    assert not told[-1].is_accepted
    assert boot.run.seal in told[-1].reason


@pytest.mark.parametrize("key", ["", "garbage", "AAAA"])
def test_a_public_key_that_is_none_is_a_refusal(boot, key):
    ledger = boot.sealed_ledger()
    boot.record = dataclasses.replace(boot.record, public_key=key)

    refused = Watched(boot, ledger).check()

    assert not refused.is_accepted
    assert "public_key" in refused.reason
