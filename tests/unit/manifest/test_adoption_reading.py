"""A configuration of supervisor's is read as supervisord reads it: the oracle is supervisor's own parser."""

import os
import pathlib
import platform
import shlex
from typing import Any

import pytest
from supervisor import options as supervisor_options

from manifest.adoption import expansion, ini, processes

ADOPTED = pathlib.Path(__file__).parents[2] / "adopted"
CONFIGURATIONS = sorted(ADOPTED.glob("*.conf"))
VARIABLES = {
    "CELERY_APP": "shop.celery", "CELERY_CONCURRENCY": "4", "CELERY_OPTIONS": "-E --prefetch 2", "CELERY_USER": "root",
    "CELERY_BEAT": "true", "BROKER_URL": "redis://127.0.0.1/0", "SUPERSET_PORT": "8088", "SERVER_WORKER_AMOUNT": "2",
    "SUPERSET_SECRET_KEY": "k", "FLOWER_PORT": "5555", "ENABLE_FLOWER": "yes", "GEOMETRY": "1280x720x24",
}  # fmt: skip


def read(path: pathlib.Path, text: str | bytes = b"") -> ini.Read:
    if text:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return ini.read(str(path), follows_includes=True)


def supervisors_own(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return supervisor's own groups for ``path``; what looks at this machine (users, directories, imports) is left out."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    for name in ("existing_directory", "existing_dirpath"):
        monkeypatch.setattr(supervisor_options, name, os.path.expanduser)
    monkeypatch.setattr("supervisor.datatypes.existing_dirpath", os.path.expanduser)
    monkeypatch.setattr(supervisor_options, "name_to_uid", lambda _name: 0)
    monkeypatch.setattr(supervisor_options, "colon_separated_user_group", lambda _text: (0, 0))
    server = supervisor_options.ServerOptions()
    server.import_spec = lambda spec: spec
    server.here = str(path.parent)
    server.configfile = str(path)
    server.read_config(str(path))
    return list(server.configroot.supervisord.process_group_configs)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_the_processes_are_those_that_supervisor_itself_would_make(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {
        (group.name, one.name): one for group in supervisors_own(path, monkeypatch) for one in group.process_configs
    }
    found = {(one.group, one.name): one for one in processes.find(read(path), str(path.parent), VARIABLES).processes}
    assert found.keys() == wanted.keys()
    for key, theirs in wanted.items():
        ours = found[key].settings
        assert ours.command.replace(expansion.marked(expansion.Mark(None)), platform.node()) == theirs.command
        assert ours.environment == theirs.environment
        assert ours.directory == theirs.directory
        assert (ours.autostart, ours.startsecs, ours.startretries) == (
            theirs.autostart, theirs.startsecs, theirs.startretries,
        )  # fmt: skip
        assert list(ours.exitcodes) == theirs.exitcodes
        assert getattr(__import__("signal"), f"SIG{ours.stop_signal}") == theirs.stopsignal
        assert (ours.stopwaitsecs, ours.priority, ours.redirects_stderr) == (
            theirs.stopwaitsecs, theirs.priority, theirs.redirect_stderr,
        )  # fmt: skip
        assert (None if ours.umask is None else int(ours.umask, 8)) == theirs.umask
        assert found[key].problems == ()


def test_a_dozen_shapes_are_there() -> None:
    assert len(CONFIGURATIONS) >= 12


def test_what_is_written_last_counts_and_every_option_knows_its_line(tmp_path: pathlib.Path) -> None:
    read_ = read(
        tmp_path / "a.conf",
        "[DEFAULT]\nstartsecs=7\n\n[program:a]\n  command = one  ; never this\nuser=x\n# no\n[program:b]\ncommand=b\n"
        "[program:a]\ncommand : two\n   three\n",
    )
    section = read_.section("program:a")
    assert section is not None
    assert {name: (option.text, option.place.line) for name, option in section.options.items()} == {
        "startsecs": ("7", 2), "command": ("two\nthree", 11), "user": ("x", 6),
    }  # fmt: skip
    assert (section.place.line, section.options["command"].place.file.path) == (4, str(tmp_path / "a.conf"))


def test_includes_are_followed_once_sorted_and_relative_to_the_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "e").mkdir()
    (tmp_path / "d" / "2.conf").write_text("[program:a]\ncommand=%(here)s/two\n[include]\nfiles=../e/*\n")
    (tmp_path / "d" / "1.conf").write_text("[program:a]\ncommand=one\n")
    (tmp_path / "e" / "x").write_text("[program:never]\ncommand=never\n")
    found = read(tmp_path / "a.conf", "[include]\nfiles = d/*.conf\n  none/*.conf\n")
    section = found.section("program:a")
    assert section is not None and found.section("program:never") is None
    assert section.options["command"].text == f"{tmp_path}/d/two"
    assert [os.path.basename(path) for path, _ in found.files] == ["a.conf", "1.conf", "2.conf"]
    assert [why for _, why in found.oddities] == ["no file matches none/*.conf: supervisord goes on without it"]


def test_here_can_be_where_the_file_will_lie(tmp_path: pathlib.Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "1.conf").write_text("[program:a]\ncommand=%(here)s/a\n")
    (tmp_path / "a.conf").write_text("[include]\nfiles=d/*\n[program:b]\ncommand=%(here)s/b\n")
    found = ini.read(str(tmp_path / "a.conf"), follows_includes=True, here="/etc/supervisor")
    assert [one.options["command"].text for one in found.sections if one.kind == "program"] == [
        "/etc/supervisor/b", "/etc/supervisor/d/a",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "told", "value"),
    [
        (b"\xef\xbb\xbf[program:a]\ncommand=a", "byte-order mark", "a"),
        (b"[program:a]\ncommand=caf\xe9", "Latin-1", "caf\xe9"),
        (b"[program:a]\r\ncommand=a\r\n  b\r\n", None, "a\nb"),
    ],
)
def test_what_supervisord_cannot_decode_is_read_and_told(
    data: bytes, told: str | None, value: str, tmp_path: pathlib.Path
) -> None:
    found = read(tmp_path / "a.conf", data)
    section = found.section("program:a")
    assert section is not None and section.options["command"].text == value
    assert [told in why for _, why in found.oddities if told] == [True] * bool(told)


@pytest.mark.parametrize(
    ("text", "line"), [("command=a\n", 1), ("[program:a]\ncommand=a\n  b\nnonsense\n", 4), ("[program:a]\n\n[x\n", 3)]
)
def test_what_is_no_configuration_is_refused_at_its_line(text: str, line: int, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ini.NotIni) as refused:
        read(tmp_path / "a.conf", text)
    assert refused.value.place is not None and refused.value.place.line == line


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b";" * (ini.SIZE_LIMIT + 1))
    (tmp_path / "nul").write_bytes(b"[a]\nb=\0")
    for name in ("fifo", "large", "nul", "missing", "."):
        with pytest.raises(ini.CannotBeRead):
            ini.read(str(tmp_path / name), follows_includes=True)


@pytest.mark.parametrize("text", ["date +%s", "%(nothing)s", "%(process_num)q", "100%", "%d"])
def test_what_cannot_be_expanded_is_refused_and_leaks_nothing(text: str) -> None:
    with pytest.raises(expansion.CannotExpandError) as refused:
        expansion.expand(text, {"process_num": 1, "ENV_SECRET": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_what_the_boot_knows_is_marked_and_the_rest_replaced() -> None:
    text = expansion.expand(
        "%(ENV_A)s%(ENV_B)s-%(process_num)03d-%%-%(host_node_name)s", {"process_num": 7, "ENV_B": "b"}
    )
    assert expansion.pieces(text) == [expansion.Mark("A"), "b-007-%-", expansion.Mark(None)]
    assert expansion.variables(text) == ["A"]
    assert expansion.shown(text) == "%(ENV_A)sb-007-%-%(host_node_name)s"
    both = expansion.expand("%(ENV_A)s%(ENV_C)s", {})
    assert expansion.pieces(both) == [expansion.Mark("A"), expansion.Mark("C")]


PROBLEMS = {
    "a missing command": ("[program:a]\nuser=b", "command"),
    "a number that is none": ("[program:a]\ncommand=a\nstartsecs=soon", "startsecs"),
    "an unknown signal": ("[program:a]\ncommand=a\nstopsignal=SIGWHAT", "stopsignal"),
    "a boolean that is none": ("[program:a]\ncommand=a\nautostart=maybe", "autostart"),
    "an exit code too large": ("[program:a]\ncommand=a\nexitcodes=256", "exitcodes"),
    "an environment that does not close": ("[program:a]\ncommand=a\nenvironment=A=1,B", "environment"),
    "several processes of one name": ("[program:a]\ncommand=a\nnumprocs=2", "process_name"),
    "a name with a colon": ("[program:a]\ncommand=a\nprocess_name=b:c", "process_name"),
    "a group stopped and not killed": ("[program:a]\ncommand=a\nstopasgroup=true\nkillasgroup=false", "killasgroup"),
    "a bare percent sign": ("[program:a]\ncommand=date +%s", "command"),
    "a variable for a number": ("[program:a]\ncommand=a\nstartsecs=%(ENV_X)s", "startsecs"),
}


@pytest.mark.parametrize(("text", "option"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_supervisor_refuses_is_a_problem_at_its_option(text: str, option: str, tmp_path: pathlib.Path) -> None:
    [first, *_] = processes.find(read(tmp_path / "a.conf", text), "/etc", {}).processes
    assert option in [problem.option for problem in first.problems]


def test_a_group_of_nobody_and_an_unknown_member_are_problems(tmp_path: pathlib.Path) -> None:
    found = processes.find(read(tmp_path / "a.conf", "[group:a]\nprograms=x\n[group:b]\npriority=1\n"), "/etc", {})
    assert [problem.why for problem in found.problems] == [
        "there is no program `x` for the group", "the group names no programs",
    ]  # fmt: skip


def test_a_thousand_processes_are_enough(tmp_path: pathlib.Path) -> None:
    text = "[program:a]\ncommand=a\nnumprocs=1000000\nprocess_name=%(process_num)d\n"
    found = processes.find(read(tmp_path / "a.conf", text), "/etc", {})
    assert len(found.processes) == 1000
    assert "more than 1000 processes" in found.problems[0].why


def test_a_command_is_taken_apart_as_supervisor_does(tmp_path: pathlib.Path) -> None:
    text = '[program:a]\ncommand=sh -c \'a "b c"\' d\\ e "f\'g"\n'
    [one] = processes.find(read(tmp_path / "a.conf", text), "/etc", {}).processes
    assert shlex.split(one.settings.command) == ["sh", "-c", 'a "b c"', "d e", "f'g"]
