import os
import pathlib
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts import command, runtimes
from contract import errors
from manifest import provisions


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    os.chmod(tmp_path, 0o755)
    return tmp_path


def fake(folder: pathlib.Path, name: str, script: str, mode: int = 0o755) -> str:
    folder.mkdir(exist_ok=True)
    found = folder / name
    found.write_text(f"#!/bin/sh\n{script}\n")
    found.chmod(mode)
    return str(found)


def discover(*names: str, path: object, **environment: str) -> tuple[runtimes.Runtime, ...]:
    return runtimes.discover(names, {"PATH": str(path), **environment})


def test_every_runtime_of_the_manifest_is_known_in_its_order():
    assert tuple(runtimes._KNOWN) == provisions.RUNTIMES


@pytest.mark.parametrize(
    ("name", "binary", "says", "version"),
    [
        ("shell", "bash", "echo 'GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)'", "5.2.15"),
        ("python", "python3", "echo Python 3.11.2", "3.11.2"),
        ("node", "node", "echo v20.11.1", "20.11.1"),
        ("ruby", "ruby", "echo 'ruby 3.1.2p20 (2022-04-12 revision 4491bb740a)'", "3.1.2"),
        ("go", "go", 'test "$1" = version && echo go version go1.22 linux/amd64', "1.22"),
        ("java", "java", 'test "$1" = -version && echo \'openjdk version "17.0.9" 2023-10-17\' >&2', "17.0.9"),
        ("java", "java", "echo 'java version \"1.8.0_392\"' >&2", "1.8.0_392"),
        ("r", "Rscript", "echo 'Rscript (R) version 4.2.2 (2022-10-31)' >&2", "4.2.2"),
        ("perl", "perl", "echo; echo 'This is perl 5, version 36, subversion 0 (v5.36.0) built for x86'", "5.36.0"),
        ("node", "node", "echo hello", None),
        ("node", "node", "echo v20.11.1; exit 1", None),
    ],
)
def test_the_version_is_read_from_what_the_runtime_prints(
    path: pathlib.Path, name: str, binary: str, says: str, version: str | None
):
    binary = fake(path, binary, says)
    assert discover(name, path=path) == (runtimes.Runtime(name, binary, version),)


def test_the_first_name_on_path_wins_and_what_is_no_program_is_none(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    fake(path / "working", "python3", "echo Python 0.1")
    monkeypatch.chdir(path / "working")
    one, two, three = (path / name for name in ("one", "two", "three"))
    fake(one, "python3", "echo Python 1.1", mode=0o644)
    (two / "python3").mkdir(parents=True)
    fake(two, "python", "echo Python 2.2")
    wins = fake(three, "python3", "echo Python 3.3")
    assert discover("python", path=f".::{path}/none:{one}:{two}:{three}") == (runtimes.Runtime("python", wins, "3.3"),)
    assert discover("python", path=f"{one}:{two}") == (runtimes.Runtime("python", f"{two}/python", "2.2"),)
    assert discover("python", "ruby", path=one) == ()
    assert discover(path=three) == ()


def test_only_those_that_are_asked_for_are_executed_in_their_order(path: pathlib.Path):
    fake(path, "perl", f"touch {path}/executed")
    os.chmod(path, 0o777)
    fake(path, "ruby", "echo 3.1")
    fake(path, "node", "echo v20.1")
    assert [one.name for one in discover("ruby", "node", "ruby", path=path)] == ["ruby", "node"]
    assert not (path / "executed").exists()
    with pytest.raises(errors.BootsealError, match="runtime cobol: it is not known"):
        discover("cobol", path=path)


def test_one_that_hangs_has_no_version_and_all_are_asked_at_once(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Each waits for the other to run; a third hangs."""
    monkeypatch.setattr(runtimes, "_SECONDS", 1.0)
    os.chmod(path, 0o777)
    for name in ("ruby", "node"):
        os.mkfifo(path / f"{name}.fifo")
        os.chmod(path / f"{name}.fifo", 0o666)
    ruby = fake(path, "ruby", f"echo x > {path}/ruby.fifo; read x < {path}/node.fifo; echo 3.1")
    node = fake(path, "node", f"read x < {path}/ruby.fifo; echo x > {path}/node.fifo; echo v20.1")
    perl = fake(path, "perl", "echo 5.36.0; exec /bin/sleep 600")
    assert discover("ruby", "node", "perl", path=path) == (
        runtimes.Runtime("ruby", ruby, "3.1"),
        runtimes.Runtime("node", node, "20.1"),
        runtimes.Runtime("perl", perl, None),
    )


def test_an_override_is_taken_as_it_stands_and_nothing_is_executed(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    python = fake(path, "python3", "echo Python 3.3")
    cobol = fake(path, "cobol", "echo 1.1")
    fake(path / "sub", "cobol", "echo 1.1")
    monkeypatch.setattr(command, "run_all", None)
    found = discover("ruby", path=path, BOOTSEAL_RUNTIMES=" python,cobol ,absent,,python")
    assert found == (
        runtimes.Runtime("python", python, None),
        runtimes.Runtime("cobol", cobol, None),
        runtimes.Runtime("absent", "", None),
    )
    assert discover("ruby", path=path, BOOTSEAL_RUNTIMES="") == ()
    assert runtimes.dropped({"BOOTSEAL_RUNTIMES": " python,cobol ,absent,,python"}) == runtimes.dropped({}) == ()


@pytest.mark.parametrize("name", ["py\udcffthon", "\x1b[2Jx", "Python", "sub/cobol", "..", "a" * 41, "a b", "é"])
def test_a_name_of_an_override_that_is_no_label_is_dropped_and_told_printably(path: pathlib.Path, name: str):
    environment = {"PATH": str(path), "BOOTSEAL_RUNTIMES": f"perl,{name}"}
    assert runtimes.discover((), environment) == (runtimes.Runtime("perl", "", None),)
    [told] = runtimes.dropped(environment)
    assert told.startswith(f"BOOTSEAL_RUNTIMES: {name[:60]!a} dropped: ")
    assert told.isprintable()


def test_more_names_than_may_be_are_dropped_and_told():
    environment = {"PATH": "", "BOOTSEAL_RUNTIMES": ",".join(["-", "+", *(f"r{number}" for number in range(40))])}
    assert [one.name for one in runtimes.discover((), environment)] == [f"r{number}" for number in range(32)]
    assert runtimes.dropped(environment) == (
        "BOOTSEAL_RUNTIMES: '-' and 1 more dropped: a name is of a-z 0-9 . _ + -, and 40 characters at most",
        "BOOTSEAL_RUNTIMES: 8 names dropped: 32 are the most",
    )


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_an_override_says_what_is_written_can_be_read(override: str):
    found = runtimes.overridden(override, {"PATH": "/usr/bin:/bin"})
    assert runtimes.parse(runtimes.dump(found), "x") == found
    assert "".join(runtimes.dropped({"BOOTSEAL_RUNTIMES": override})).isprintable()


def test_a_directory_of_path_that_is_no_text_is_no_place_to_look(path: pathlib.Path):
    fake(path / "\udcff", "ruby", "echo 3.1")
    found = discover("ruby", path=path / "\udcff")
    assert found == () == runtimes.parse(runtimes.dump(found), "x")


def test_a_version_is_no_escape_sequence(path: pathlib.Path):
    java = fake(path, "java", "printf 'openjdk version \"17\\033[2J\"'")
    assert discover("java", path=path) == (runtimes.Runtime("java", java, None),)


def test_the_runtimes_of_this_machine_are_found():
    found = {one.name: one for one in discover("shell", "python", "perl", path="/usr/bin:/bin")}
    assert found["shell"].path in {"/usr/bin/bash", "/bin/bash", "/usr/bin/sh", "/bin/sh"}
    for name, binary in (("python", "python3"), ("perl", "perl")):
        if shutil.which(binary, path="/usr/bin:/bin"):
            assert found[name].version is not None


FOUND = (runtimes.Runtime("node", "/usr/bin/node", "20.1"), runtimes.Runtime("x", "", None))


def test_the_file_holds_what_was_found_and_is_read_strictly():
    data = runtimes.dump(FOUND)
    assert runtimes.parse(data, "x") == FOUND
    assert runtimes.dump(FOUND) == data
    for wrong in (b"", data[:-3], data.replace(b"runtimes/1", b"runtimes/2"), data.replace(b'"path"', b'"paht"')):
        with pytest.raises(errors.InvalidRecord):
            runtimes.parse(wrong, "x")


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes):
    with pytest.raises(errors.InvalidRecord):
        runtimes.parse(data, "x")
