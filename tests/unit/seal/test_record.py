import base64
import dataclasses
import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from contract import boot_record, errors, files
from seal import record, signing_key, verification
from tests.unit import boots

REFUSALS = (errors.InvalidRecord, record.BadSignature, record.NotThisBoot)
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
EXPECTED = record.Expected(boots.BOOT_ID, 1, 4711, boots.SHA256, KEY.public_key().public_bytes_raw())
UNSIGNED = {
    "schema": record.SCHEMA, "boot_id": boots.BOOT_ID, "generation": 1, "pid1_start": 4711, "sealed_at": boots.WALL,
    "elapsed_seconds": 1.25, "manifest_sha256": boots.SHA256, "plan_sha256": boots.SHA256, "lock_sha256": None,
    "identity": {"id": "box", "ed25519": base64.b64encode(EXPECTED.public_key).decode()},
    "artifacts": [{"id": "api", "sha256": None, "verified": "presence", "usable": True, "required": True}],
    "security": boots.attested_security().plain(),
    "programs": [
        {"name": "api", "state": "RUNNING", "pid": 100, "pid_start": 1000, "ready_by": "running for 1s",
         "ready_at": boots.WALL},
    ],
    "late": False,
}  # fmt: skip
SEAL = record.sign(UNSIGNED, KEY)


def signed(**changes) -> bytes:
    return record.sign({**UNSIGNED, **changes}, KEY)


def test_a_seal_is_accepted_by_what_expects_it():
    accepted = record.accept(SEAL, EXPECTED)
    assert (accepted.boot_id, accepted.generation, accepted.elapsed_seconds) == (boots.BOOT_ID, 1, 1.25)
    assert accepted.programs == (record.Program("api", "RUNNING", 100, 1000, "running for 1s", boots.WALL),)
    assert accepted.artifacts == (record.Artifact("api", None, "presence", usable=True, required=True),)
    assert SEAL.endswith(b"}\n") and SEAL.count(b"\n") == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("boot_id", "f" * 32), ("generation", 2), ("generation", 0), ("pid1_start", 4712), ("plan_sha256", "cd" * 32)],
)
def test_a_well_signed_seal_of_another_boot_generation_process_or_plan_is_refused_by_name(field, value):
    with pytest.raises(record.NotThisBoot, match=rf"its {field} is"):
        record.accept(signed(**{field: value}), EXPECTED)
    with pytest.raises(record.NotThisBoot, match=rf"its {field} is"):
        record.accept(SEAL, dataclasses.replace(EXPECTED, **{field: value}))


def test_a_seal_by_another_key_is_refused():
    other = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(record.BadSignature):
        record.accept(record.sign(UNSIGNED, other), EXPECTED)
    with pytest.raises(record.BadSignature):
        record.accept(SEAL, dataclasses.replace(EXPECTED, public_key=other.public_key().public_bytes_raw()))
    with pytest.raises(record.BadSignature):
        record.accept(SEAL, dataclasses.replace(EXPECTED, public_key=b"short"))


def test_a_signature_of_something_else_is_no_signature_of_a_seal():
    """Without the domain the same key's signature over the same JSON would pass."""
    import rfc8785

    naked = base64.b64encode(KEY.sign(rfc8785.dumps(UNSIGNED))).decode()
    data = json.dumps({**UNSIGNED, "signature": {"alg": "ed25519", "value": naked}}, sort_keys=True).encode() + b"\n"
    with pytest.raises(record.BadSignature):
        record.accept(data, EXPECTED)


@pytest.mark.parametrize("alg", ["none", "", "Ed25519", "hmac"])
def test_no_other_algorithm_is_accepted(alg):
    value = json.loads(SEAL)
    value["signature"]["alg"] = alg
    with pytest.raises(record.BadSignature, match="algorithm"):
        record.accept(json.dumps(value, sort_keys=True).encode() + b"\n", EXPECTED)


@pytest.mark.parametrize("signature", ["", "AAAA", "!!!!", "é", "A" * 88, "\ud800", " "])
def test_what_is_no_signature_is_refused(signature):
    value = json.loads(SEAL)
    value["signature"]["value"] = signature
    with pytest.raises(REFUSALS):
        record.accept(json.dumps(value, sort_keys=True).encode() + b"\n", EXPECTED)


def test_a_seal_cut_at_any_byte_is_refused():
    for length in range(len(SEAL)):
        with pytest.raises(REFUSALS):
            record.accept(SEAL[:length], EXPECTED)


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
def test_a_seal_edited_by_one_byte_anywhere_is_refused(flip):
    for position in range(len(SEAL)):
        edited = bytearray(SEAL)
        edited[position] ^= flip
        with pytest.raises(REFUSALS):
            record.accept(bytes(edited), EXPECTED)


def test_no_character_put_in_place_of_another_passes():
    """White space, the last base64 character's unused bits and another spelling of a number mean the same."""
    for position in range(len(SEAL)):
        for put in b" \t\nEeBg=0":
            if put != SEAL[position]:
                edited = bytearray(SEAL)
                edited[position] = put
                with pytest.raises(REFUSALS):
                    record.accept(bytes(edited), EXPECTED)


def test_a_byte_put_in_or_taken_out_anywhere_is_refused():
    for position in range(len(SEAL) + 1):
        for put in (b" ", b"0", b"\n", b"\\"):
            with pytest.raises(REFUSALS):
                record.accept(SEAL[:position] + put + SEAL[position:], EXPECTED)
        if position < len(SEAL):
            with pytest.raises(REFUSALS):
                record.accept(SEAL[:position] + SEAL[position + 1 :], EXPECTED)


@pytest.mark.parametrize("data", [b"", SEAL + b"x\n", SEAL[:100]])
def test_a_refused_seal_is_not_said_to_be_built_again(data):
    with pytest.raises(errors.InvalidRecord, match="look for what edited it"):
        record.accept(data, EXPECTED)


def test_a_field_added_removed_or_of_another_type_is_refused_also_when_well_signed():
    for changes in (
        {"extra": 1},
        {"generation": True},
        {"generation": 1.5},
        {"late": 0},
        {"programs": {}},
        {"identity": None},
    ):
        with pytest.raises(errors.InvalidRecord):
            record.accept(signed(**changes), EXPECTED)
    for field in UNSIGNED:
        shorter = {name: value for name, value in UNSIGNED.items() if name != field}
        with pytest.raises(errors.InvalidRecord):
            record.accept(record.sign(shorter, KEY), EXPECTED)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"null", b"\0" * 4096, b"\xff" * 100, b"{" * 100_000, b"[" * 3_000_000,
        b'{"schema":' * 50_000, SEAL + SEAL, SEAL.replace(b'"late"', b'"late": false, "late"'),
        b" " * (record.LIMIT + 1), b"x" * (10 * 1024 * 1024),
    ],
    ids=lambda data: f"{data[:12]!r}*{len(data)}",
)  # fmt: skip
def test_what_is_no_seal_is_refused(data):
    with pytest.raises(errors.InvalidRecord):
        record.accept(data, EXPECTED)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_and_nothing_else(data):
    with pytest.raises(REFUSALS):
        record.accept(data, EXPECTED)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from([*UNSIGNED, "signature"]),
)
def test_any_value_in_any_field_is_refused_and_nothing_else(value, field):
    whole = json.loads(SEAL)
    if whole[field] == value:
        return
    whole[field] = value
    with pytest.raises(REFUSALS):
        record.accept(json.dumps(whole, sort_keys=True).encode() + b"\n", EXPECTED)


@pytest.fixture
def container(tmp_path):
    return boots.container(f"{tmp_path}/run")


def test_a_containers_own_seal_is_accepted_from_its_run_directory(container):
    container.seal()
    assert verification.verify(container.run).boot_id == container.record.boot_id


def test_a_seal_copied_from_another_container_is_refused(container, tmp_path):
    """All facts are the same, the boot id included: only the key tells them apart."""
    other = boots.container(f"{tmp_path}/other")
    data = other.seal()
    with open(container.run.seal, "wb") as file:
        file.write(data)
    with pytest.raises(record.BadSignature):
        verification.verify(container.run)


def test_the_seal_of_an_earlier_boot_or_generation_is_refused(container):
    container.seal()
    boot_record.write(container.run, dataclasses.replace(container.record, boot_id="f" * 32))
    with pytest.raises(record.NotThisBoot, match="boot_id"):
        verification.verify(container.run)
    boot_record.next_generation(container.run, container.record, 2)
    with pytest.raises(record.NotThisBoot, match="generation"):
        verification.verify(container.run)


def test_no_seal_is_not_sealed(container):
    with pytest.raises(verification.NotSealed, match="there is none"):
        verification.verify(container.run)


@pytest.mark.parametrize("kind", ["empty", "garbage", "directory", "fifo", "symlink", "huge"])
def test_what_stands_in_the_seals_place_is_never_a_seal(container, kind):
    seal = container.run.seal
    match kind:
        case "empty":
            open(seal, "wb").close()
        case "garbage":
            with open(seal, "wb") as file:
                file.write(os.urandom(1000))
        case "directory":
            os.mkdir(seal)
        case "fifo":
            os.mkfifo(seal)
        case "symlink":
            container.seal()
            os.rename(seal, f"{seal}.real")
            os.symlink(f"{seal}.real", seal)
        case _:
            with open(seal, "wb") as file:
                file.truncate(5 * 1024 * 1024)
    with pytest.raises(errors.BootsealError):
        verification.verify(container.run)


def test_a_run_directory_that_lost_what_the_seal_is_judged_by_accepts_nothing(container):
    container.seal()
    os.unlink(container.run.boot_record)
    with pytest.raises(verification.NotSealed, match=r"boot\.json"):
        verification.verify(container.run)


def test_the_key_that_judges_is_the_boots_and_not_what_lies_in_the_identity_directory(container, tmp_path):
    """An outer runner may have mounted that directory; and who can put a key there could sign with it."""
    other = boots.container(f"{tmp_path}/other")
    forged = record.sign(container.unsigned(identity={"id": "box", "ed25519": other.record.public_key}), other.key)
    for run, name in ((container.run, "bootstrap.done"), (container.run, "identity/ed25519.pub")):
        data = forged if name == "bootstrap.done" else signing_key.public_pem(other.key)
        files.write_atomically(f"{run.path}/{name}", data, 0o444)
    with pytest.raises(record.BadSignature, match="that is not this container's identity key"):
        verification.verify(container.run)


def test_a_seal_that_names_another_key_than_its_signer_is_refused():
    other = base64.b64encode(b"o" * 32).decode()
    for named in (other, "", "\x1b[2J", "é", "A" * 1000):
        with pytest.raises(record.BadSignature, match="it names") as refused:
            record.accept(signed(identity={"id": "box", "ed25519": named}), EXPECTED)
        assert str(refused.value).isprintable() and len(str(refused.value)) < 300


@pytest.mark.parametrize("key", ["", "garbage", "AAAA", base64.b64encode(b"k" * 33).decode(), "é" * 44, "A" * 44])
def test_a_public_key_that_is_none_verifies_nothing(container, key):
    container.seal()
    boot_record.write(container.run, dataclasses.replace(container.record, public_key=key))
    with pytest.raises(errors.BootsealError):
        verification.verify(container.run)


def test_what_changed_since_the_seal_is_listed():
    sealed = record.accept(
        signed(programs=[{**UNSIGNED["programs"][0], "name": name} for name in ("same", "gone", "down", "restarted")]),
        EXPECTED,
    )
    ledger = boots.ledger(
        boots.view("same"), boots.view("down", state="failed", reason="is FATAL"), boots.view("restarted", pid=200, pid_start=2),
        boots.view("new"),
    )  # fmt: skip
    assert verification.changes_since(sealed, ledger) == (
        verification.Change("gone", "is gone"),
        verification.Change("down", "is failed: is FATAL"),
        verification.Change("restarted", "was restarted: pid 100 then, 200 now"),
    )


def test_a_pid_that_was_reused_is_a_restart():
    sealed = record.accept(SEAL, EXPECTED)
    assert verification.changes_since(sealed, boots.ledger(boots.view("api", pid=100, pid_start=1001)))
    assert verification.changes_since(sealed, boots.ledger(boots.view("api"))) == ()
