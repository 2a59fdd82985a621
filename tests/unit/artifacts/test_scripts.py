import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts import closure, scripts, tree

PATH = "/usr/bin:/bin"


def survey(path: object, search_path: str = PATH) -> tree.Survey:
    found = tree.Survey("/nowhere")
    scripts.expand(str(path), found, search_path)
    return found


def files(found: tree.Survey) -> set[str]:
    assert found.problems == []
    return {entry.path for entry in found.entries if entry.type == closure.FILE}


def script(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_bytes(os.fsencode(text))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("data", "interpreter", "argument"),
    [
        (b"#!/bin/sh\n", "/bin/sh", None),
        (b"#! \t/bin/sh  \n", "/bin/sh", None),
        (b"#!/bin/sh -e -u\nrest", "/bin/sh", "-e -u"),
        (b"#!/bin/awk\t-f \n", "/bin/awk", "-f"),
        (b"#!/usr/bin/env -S python3 -I\n", "/usr/bin/env", "-S python3 -I"),
        (b"#!/bin/sh", "/bin/sh", None),
        (b"#!/bin/sh\r\n", "/bin/sh\r", None),
    ],
)
def test_the_first_line_is_read_as_the_kernel_does(data: bytes, interpreter: str, argument: str | None):
    assert scripts.first_line(data) == scripts.FirstLine(interpreter, argument)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "does not begin with #!"),
        (b" #!/bin/sh\n", "does not begin with #!"),
        (b"#!\n", "names no interpreter"),
        (b"#!   \n/bin/sh\n", "names no interpreter"),
        (b"#!python3\n", "has the interpreter 'python3', which depends on the working directory"),
        (b"#!/bin/sh " + b"x" * 250 + b"\n", "has a first line of more than 255 bytes"),
    ],
)
def test_a_first_line_that_says_nothing_certain_is_unclear(data: bytes, why: str):
    with pytest.raises(scripts.Unclear, match=why.replace("(", r"\(")):
        scripts.first_line(data)


def test_a_first_line_of_255_bytes_is_the_longest():
    line = b"#!/bin/sh " + b"x" * 245
    assert len(line) == 255
    assert scripts.first_line(line + b"\nrest").argument == "x" * 245


@pytest.mark.parametrize(
    ("argument", "name", "path"),
    [
        ("python3", "python3", None),
        ("-S python3 -I -X utf8", "python3", None),
        ("-Spython3", "python3", None),
        ("-vS python3 -I", "python3", None),
        ("--split-string=perl -w", "perl", None),
        ("-S -u HOME -C /tmp -- ruby", "ruby", None),
        ("-S A=1 B=2 node --x", "node", None),
        ("-S PATH=/opt/bin node", "node", "/opt/bin"),
        ("-S -i node", "node", ""),
        ("-S 'two words'", "two words", None),
        ("python3 -u", "python3 -u", None),
    ],
)
def test_what_env_is_asked_for(argument: str, name: str, path: str | None):
    assert scripts.wanted_of_env(argument) == scripts.Wanted(name, path)


@pytest.mark.parametrize("argument", [None, "", "-i", "-S", "-S -u", "A=1", "-S ${HOME}/x", "-S 'open"])
def test_an_env_that_is_asked_for_no_program_is_unclear(argument: str | None):
    with pytest.raises(scripts.Unclear):
        scripts.wanted_of_env(argument)


def test_the_interpreter_and_all_that_it_needs_belong_to_a_script(tmp_path: pathlib.Path):
    found = files(survey(script(tmp_path / "run", "#!/bin/sh\n")))
    assert {str(tmp_path / "run"), os.path.realpath("/bin/sh")} < found
    assert any("/libc.so.6" in path for path in found)


def test_env_and_the_program_that_it_finds_belong_to_a_script(tmp_path: pathlib.Path):
    found = survey(script(tmp_path / "run", "#!/usr/bin/env -S perl -w\n"))
    assert {os.path.realpath("/usr/bin/env"), os.path.realpath("/usr/bin/perl")} < files(found)


def test_a_symlinked_interpreter_is_a_link_and_what_it_points_to(tmp_path: pathlib.Path):
    os.symlink("/bin/sh", tmp_path / "interpreter")
    found = survey(script(tmp_path / "run", f"#!{tmp_path}/interpreter\n"))
    assert closure.link(f"{tmp_path}/interpreter", "/bin/sh") in found.entries
    assert os.path.realpath("/bin/sh") in files(found)


def test_a_chain_of_scripts_is_followed_to_its_end_and_as_far_as_the_kernel_does(tmp_path: pathlib.Path):
    script(tmp_path / "0", "#!/bin/sh\n")
    for number in range(1, 6):
        script(tmp_path / str(number), f"#!{tmp_path}/{number - 1}\n")
    found = files(survey(tmp_path / "4"))
    assert {*(str(tmp_path / str(number)) for number in range(5)), os.path.realpath("/bin/sh")} < found
    assert "by more than 4 scripts in a row" in survey(tmp_path / "5").problems[0]


def test_the_kernel_draws_the_line_where_we_do(tmp_path: pathlib.Path):
    """The last script of a chain prints; one more in the chain, and the kernel refuses."""
    import subprocess

    script(tmp_path / "0", "#!/bin/sh\necho reached\n")
    for number in range(1, 6):
        script(tmp_path / str(number), f"#!{tmp_path}/{number - 1}\n")

    def runs(number: int) -> bool:
        try:
            subprocess.run([str(tmp_path / str(number))], capture_output=True, check=False, timeout=30)
        except OSError:
            return False
        return True

    for number in range(6):
        assert runs(number) == (survey(tmp_path / str(number)).problems == [])


def test_a_script_that_runs_itself_ends(tmp_path: pathlib.Path):
    assert survey(script(tmp_path / "run", f"#!{tmp_path}/run\n")).problems != []


def test_env_looks_on_the_path_that_is_given_and_nowhere_else(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("first", "second", "third"):
        (tmp_path / folder).mkdir()
    script(tmp_path / "first" / "tool", "#!/bin/sh\n").chmod(0o644)
    script(tmp_path / "second" / "tool", "#!/bin/sh\n")
    script(tmp_path / "third" / "tool", "#!/bin/sh\n")
    script(tmp_path / "tool", "#!/bin/sh\n")
    run = script(tmp_path / "run", "#!/usr/bin/env tool\n")
    found = files(survey(run, f":.:{tmp_path}/none:{tmp_path}/first:{tmp_path}/second:{tmp_path}/third"))
    assert f"{tmp_path}/second/tool" in found
    assert not found & {f"{tmp_path}/{name}" for name in ("tool", "first/tool", "third/tool")}
    assert survey(run, ":.").problems == [f"{run} asks env for 'tool', which is not on PATH :."]


def test_what_is_not_found_is_said_with_the_reason(tmp_path: pathlib.Path):
    run = script(tmp_path / "run", "#!/usr/bin/env python3 -u\n")
    [problem] = survey(run).problems
    assert (
        problem
        == f"{run} asks env for 'python3 -u', which is not on PATH {PATH}: env takes several words only after -S"
    )
    run = script(tmp_path / "run", "#!/bin/sh\r\n")
    assert survey(run).problems == ["/bin/sh\r: No such file or directory"]
    run = script(tmp_path / "run", "#!/usr/bin/env bin/tool\n")
    assert survey(run).problems == [f"{run} asks env for 'bin/tool', which depends on the working directory"]


@given(st.binary(max_size=300))
def test_no_first_line_breaks_the_reader(data: bytes):
    for attempt in (data, b"#!/usr/bin/env " + data, b"#!/usr/bin/env -S " + data):
        try:
            line = scripts.first_line(attempt)
            scripts.wanted_of_env(line.argument)
        except scripts.Unclear:
            continue
        assert line.interpreter.startswith("/")
