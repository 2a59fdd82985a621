import dataclasses
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import boot_record, errors, rundir
from tests.unit import boots


def test_what_is_written_is_read_again(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    boot_record.write(run, boots.boot())
    assert boot_record.read(run) == boots.boot()
    assert os.stat(run.boot_record).st_mode & 0o777 == 0o444


def test_a_generation_counts_on_and_changes_nothing_else(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    counted = boot_record.next_generation(run, boots.boot(), 4)
    assert counted == boot_record.read(run) == boots.boot(generation=4)


def test_a_missing_record_is_an_os_error_and_a_link_or_fifo_is_never_read(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        boot_record.read(run)
    os.mkfifo(run.boot_record)
    with pytest.raises(errors.UnsafePath):
        boot_record.read(run)
    os.unlink(run.boot_record)
    (tmp_path / "other").write_text(json.dumps(dataclasses.asdict(boots.boot())))
    os.symlink(tmp_path / "other", run.boot_record)
    with pytest.raises(OSError, match="symbolic links"):
        boot_record.read(run)


def test_a_record_of_another_schema_is_refused():
    with pytest.raises(errors.InvalidRecord, match="schema"):
        boot_record.parse(json.dumps(dataclasses.asdict(boots.boot(schema="bootseal.boot/1"))).encode(), "boot.json")


def test_a_record_cut_at_any_byte_is_refused():
    data = json.dumps(dataclasses.asdict(boots.boot())).encode()
    for length in range(len(data)):
        with pytest.raises(errors.InvalidRecord):
            boot_record.parse(data[:length], "boot.json")


@given(st.data())
def test_a_record_edited_anywhere_is_parsed_or_refused_and_nothing_else(data):
    good = bytearray(json.dumps(dataclasses.asdict(boots.boot())).encode())
    good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(boot_record.parse(bytes(good), "boot.json"), boot_record.BootRecord)
    except errors.InvalidRecord as error:
        assert error.what == "boot.json"


def closure(number: int, reason: str) -> boot_record.Closure:
    return boot_record.Closure(f"x{number}", boots.SHA256, "digest", reason)


def test_whatever_there_is_to_tell_the_record_can_be_read_again(tmp_path):
    """Names hold any bytes, and a command says anything: neither ends a boot that may go on."""
    run = rundir.RunDirectory(str(tmp_path))
    odd = os.fsdecode(b"bad\xff\x00") + "\ud800" + "\n" * 4000
    boot_record.write(run, boots.boot(warnings=(odd, "fine", "é" * 500), closures=(closure(1, odd), closure(2, ""))))
    found = boot_record.read(run)
    assert found.warnings[1:] == ("fine", "é" * 500)
    for text in (found.warnings[0], found.closures[0].reason):
        assert text.startswith(r"bad\xff\x00\ud800\n\n")
        assert text.endswith("…")
        assert len(text) == 500
        assert text.isprintable()
    assert found.unusable == {"x1": found.closures[0].reason}


@pytest.mark.parametrize("character", ["w", "\n", "é", "\U0001f600"])
@pytest.mark.parametrize("closures", [0, 200, 1500])
def test_a_record_stays_within_its_readers_limit_and_counts_what_it_leaves_out(tmp_path, character, closures):
    run = rundir.RunDirectory(str(tmp_path))
    unusable = tuple(closure(number, character * 4000) for number in range(closures))
    warnings = tuple(f"{number} {character * 4000}" for number in range(5000))
    boot_record.write(run, boots.boot(warnings=warnings, closures=unusable))
    found = boot_record.read(run)
    assert set(found.unusable) == {f"x{number}" for number in range(closures)}
    left = len(warnings) - (len(found.warnings) - 1)
    assert found.warnings[-1] == f"{left} more warnings are left out here; the events have them"
    assert [text.split(" ")[0] for text in found.warnings[:-1]] == [str(number) for number in range(5000 - left)]
