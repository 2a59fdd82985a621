"""A stranger's configuration of supervisor's: nothing of it is kept without bounds, and nothing of it reaches a terminal or a log."""

import os
import pathlib
import re

import pytest
from click.testing import CliRunner

from entrypoint.commands import adopt as command
from manifest import diagnostics
from manifest.adoption import expansion, ini, processes, writing
from tests.unit.manifest import manifests

MANY = "process_name=a%(process_num)d\nnumprocs=1000\n"
LONG = {
    "expressions that never close": "[program:a]\ncommand=/bin/x " + "%(" * 400_000,
    "a field of two gigabytes": "[program:a]\ncommand=/bin/x %(program_name)2000000000s",
    "a precision of two gigabytes": "[program:a]\ncommand=/bin/x %(process_num).2000000000d",
    "options that nobody knows, in each of a thousand": f"[program:a]\ncommand=x\n{MANY}"
    + "".join(f"option{number}=1\n" for number in range(5000)),
    "a command of a megabyte, a thousand times": f"[program:a]\ncommand=/bin/a {'x' * 900_000}\n{MANY}",
    "an environment of 100 KiB, a thousand times": f'[supervisord]\nenvironment=A="{"x" * 100_000}"\n[program:a]\ncommand=x\n{MANY}',
    "thousands of variables": "[program:a]\ncommand=/bin/a " + "%(ENV_A)s " * 10_000,
    "a group of strangers": "[program:a]\ncommand=x\n[group:g]\nprograms=" + "b," * 300_000,
}


def adopt(folder: pathlib.Path, text: str) -> writing.Adopted:
    (folder / "s.conf").write_text(text + "\n")
    return writing.adopt(ini.read(str(folder / "s.conf"), follows_includes=True), str(folder), "app", {})


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_what_is_huge_is_bounded_in_time_and_in_what_is_made_of_it(text: str, tmp_path: pathlib.Path) -> None:
    """Without the bounds each of these takes minutes, or all the memory there is."""
    made = adopt(tmp_path, text)
    assert len(made.text) < 4_000_000 and len(made.notes) < 2000


def test_blanks_on_which_the_parser_would_work_for_minutes_are_refused_at_their_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ini.NotIni, match=r"s\.conf:2: it has hundreds of blanks in a row \(remove them\)"):
        adopt(tmp_path, f"[program:a]\nx{' ' * 200_000}y\ncommand=x")
    assert adopt(tmp_path, f"[program:a]{' ' * 900}\n;{' ' * 900}x\ncommand=x{' ' * 900}").programs == 1


@pytest.mark.parametrize(
    "text", ["%(ENV_FOO).5s", "%(ENV_FOO)90s", "%(ENV_MY-VAR)s", "%(ENV_)s", "%(ENV_FOOzZ)s", "bOOtmarkEHOMEzZ"]
)
def test_what_no_shell_can_put_in_at_boot_is_refused_and_never_garbled(text: str) -> None:
    with pytest.raises(expansion.CannotExpandError):
        expansion.expand(text, {})


def test_processes_that_are_none_are_told(tmp_path: pathlib.Path) -> None:
    made = adopt(tmp_path, "[program:a]\ncommand=x\n[program:b]\ncommand=x\nnumprocs=0")
    assert any("[program:b] has 0 processes" in note.text for note in made.lost)


def test_variables_that_yaml_takes_for_something_else_are_text(tmp_path: pathlib.Path) -> None:
    made = adopt(tmp_path, f'[program:a]\ncommand=x\nenvironment=null="{"x" * 120}",true="2",NO="1"')
    the_plan = manifests.load(tmp_path, made.text).plan
    assert the_plan is not None
    assert [dict(one.environment) for one in the_plan.programs if one.name == "a"] == [
        {"null": "x" * 120, "true": "2", "NO": "1"}
    ]


def test_a_file_that_is_there_is_kept_under_strict_as_well(tmp_path: pathlib.Path) -> None:
    (tmp_path / "s.conf").write_text("[program:a]\ncommand=/bin/true\n")
    (tmp_path / "out.yaml").write_text("mine")
    arguments = [str(tmp_path / "s.conf"), "-o", str(tmp_path / "out.yaml"), "--strict"]
    assert CliRunner().invoke(command.adopt, arguments).exit_code != 0
    assert (tmp_path / "out.yaml").read_text() == "mine"
    assert CliRunner().invoke(command.adopt, [*arguments, "--force"]).exit_code == 0


def test_what_is_no_regular_file_is_not_even_opened(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    opened: list[object] = []
    monkeypatch.setattr(os, "open", lambda path, *_: opened.append(path) or 1 / 0)
    with pytest.raises(ini.CannotBeRead, match="it is no regular file"):
        ini.read(str(tmp_path / "fifo"), follows_includes=True)
    assert opened == []


# --- programs.from -----------------------------------------------------------------------------------------------------

HEAD = "version: 1\nname: x\nprograms:\n  from: {}\n"


def shown(folder: pathlib.Path, text: str) -> str:
    result = manifests.load(folder, text)
    return diagnostics.render(result.diagnostics, "m.yaml", result.text)


SECRETS = {
    "beside a name that is reserved": 'environment=BOOTSEAL_X="1",PASSWORD="hunter2hunter2"',
    "beside what cannot be read": 'environment=TOKEN="hunter2hunter2" B="c",,',
    "on a command line that is refused": "command=/bin/x --password hunter2hunter2 %(ENV_X)s",
    "in an option with a slip of the pen": 'enviroment=PASSWORD="hunter2hunter2"',
    "in what is no option at all": "hunter2hunter2",
}


@pytest.mark.parametrize("line", SECRETS.values(), ids=SECRETS)
def test_no_line_that_may_hold_a_secret_is_shown(line: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "app.conf").write_text(f"[program:a]\n{'' if line.startswith('command') else 'command=x'}\n{line}\n")
    said = shown(tmp_path, HEAD.format("app.conf"))
    assert re.search(r"app\.conf:3:\d+: error\[E11[1345]\]", said), said
    assert "hunter2" not in said


def test_neither_a_file_nor_an_expression_writes_to_the_terminal(tmp_path: pathlib.Path) -> None:
    (tmp_path / "app\x1b[31m\n.conf").write_text("[program:a]\ncommand=/bin/x %(\x1b[32mX)s\n")
    said = shown(tmp_path, HEAD.format('"app*.conf"'))
    assert "error[E114]" in said and "\x1b" not in said


def test_a_nul_in_a_pattern_is_a_finding(tmp_path: pathlib.Path) -> None:
    assert "error[E110]" in shown(tmp_path, HEAD.format('"a\\0/*"'))


def test_files_beyond_number_are_refused_before_they_are_read(tmp_path: pathlib.Path) -> None:
    for number in range(501):
        (tmp_path / f"{number}.conf").write_text("")
    assert "names more than 500 files" in shown(tmp_path, HEAD.format('"*.conf"'))


def test_more_than_supervisord_would_run_is_told(tmp_path: pathlib.Path) -> None:
    found = processes.find(
        ini.read(
            str(_written(tmp_path, f"[program:a]\ncommand=x\n{MANY}[program:b]\ncommand=x\n")), follows_includes=True
        ),
        "/",
        {},
    )
    assert len(found.processes) == 1000 and "more than 1000 processes" in found.problems[-1].why


def _written(folder: pathlib.Path, text: str) -> pathlib.Path:
    (folder / "s.conf").write_text(text)
    return folder / "s.conf"
