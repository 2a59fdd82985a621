"""The rendered configuration, read back by supervisor's own parser, says what the plan says."""

import configparser
import dataclasses
import os
import pathlib
import shlex
import subprocess
import sys
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies
from supervisor import options as supervisor_options
from supervisor.datatypes import RestartUnconditionally, RestartWhenExitUnexpected

from contract import errors, exit_codes
from manifest import compile as compiling
from manifest import plan
from supervisord import ctl, extension, operators, preflight, render
from tests.unit.manifest import manifests

TRAPS = [
    "",
    " ",
    "a b",
    "a ;b",
    "a #b",
    "; x",
    "#",
    ";",
    " ; # ;",
    "  ;;  ##",
    "it's",
    '"quoted"',
    "back\\slash",
    "'",
    "''",
    "' ;'",
    "100%",
    "%s",
    "%(here)s",
    "%(ENV_PATH)s",
    "%%",
    "date +%s",
    "$HOME",
    "`id`",
    "a=b",
    "a: b",
    "[section]",
    "~",
    "*",
    "\\n",
    "-",
    "a" * 5000,
]


def compiled(folder: pathlib.Path, text: str = manifests.SOUND, run: str = "/run/bootseal") -> plan.Plan:
    result = manifests.load(folder, text, compiling.BuildOptions(run_directory=run))
    assert result.plan is not None, result.diagnostics
    return result.plan


def with_argv(the_plan: plan.Plan, *argv: str, directory: str | None = None) -> plan.Plan:
    """Return ``the_plan`` with the argv (and directory) of its program api replaced."""
    programs = tuple(
        dataclasses.replace(one, argv=argv, directory=directory) if one.name == "api" else one
        for one in the_plan.programs
    )
    return dataclasses.replace(the_plan, programs=programs)


def parsed(text: str, folder: pathlib.Path) -> Any:
    """Return supervisor's ServerOptions made from the configuration ``text``, as supervisord makes them."""
    path = folder / "supervisord.conf"
    path.write_bytes(text.encode("ascii"))
    server = supervisor_options.ServerOptions()
    server.realize(["-c", str(path), "-n"], doc="")
    assert server.parse_warnings == []
    return server


def process_of(server: Any, name: str) -> Any:
    [process] = [one for group in server.process_group_configs for one in group.process_configs if one.name == name]
    return process


@pytest.fixture
def run(tmp_path: pathlib.Path) -> str:
    """A run directory that exists, as it does when supervisord reads its configuration."""
    os.makedirs(tmp_path / "run" / "tmp")
    return f"{tmp_path}/run"


def test_every_program_is_what_the_plan_says(tmp_path: pathlib.Path, run: str) -> None:
    the_plan = compiled(tmp_path, run=run)
    server = parsed(render.render(the_plan), tmp_path)
    groups = server.process_group_configs
    assert {group.name for group in groups} == {program.name for program in the_plan.programs}
    for program in the_plan.programs:
        [group] = [one for one in groups if one.name == program.name]
        process = process_of(server, program.name)
        restart = {"seal": RestartWhenExitUnexpected}.get(
            program.role, False if program.oneshot else RestartUnconditionally
        )
        assert tuple(shlex.split(process.command)) == program.argv
        assert (group.priority, process.priority) == (program.priority, program.priority)
        assert (process.autostart, process.autorestart) == (True, restart)
        assert process.startsecs == (0 if program.oneshot else 1)
        assert process.startretries == program.start_retries
        assert process.exitcodes == ([0, 6] if program.role == "seal" else [0])
        assert process.stopsignal.name == f"SIG{program.stop_signal}"
        assert process.stopwaitsecs == program.stop_timeout_seconds
        assert (process.stopasgroup, process.killasgroup) == (True, True)
        assert (process.stdout_logfile, process.stderr_logfile) == (None, None)
        assert (process.stdout_events_enabled, process.stderr_events_enabled) == (True, True)
        assert (process.stdout_capture_maxbytes, process.stderr_capture_maxbytes) == (0, 0)
        assert process.directory == program.directory
        assert process.environment == {}
        assert process.redirect_stderr is False
        assert process.uid is None


def test_supervisord_itself_is_set_up_for_a_container(tmp_path: pathlib.Path, run: str) -> None:
    server = parsed(render.render(compiled(tmp_path, run=run)), tmp_path)
    assert (server.nodaemon, server.silent, server.nocleanup) == (True, True, True)
    assert (server.logfile, server.logfile_maxbytes, server.pidfile) == ("/dev/null", 0, f"{run}/supervisord.pid")
    assert (server.identifier, server.minfds, server.childlogdir) == ("sample", 1024, f"{run}/tmp")
    [socket] = server.configroot.supervisord.server_configs
    assert (socket["file"], socket["chmod"]) == (f"{run}/supervisor.sock", 0o700)
    factories = {name: settings for name, _, settings in server.configroot.supervisord.rpcinterface_factories}
    assert factories == {"supervisor": {}, "bootseal": {"run_directory": run}}


def test_operators_get_our_namespace_and_our_commands(tmp_path: pathlib.Path, run: str) -> None:
    server = parsed(render.render(compiled(tmp_path, run=run)), tmp_path)
    makers = {name: factory for name, factory, _ in server.configroot.supervisord.rpcinterface_factories}
    assert makers == {"supervisor": operators.make, "bootseal": extension.make}
    client = supervisor_options.ClientOptions()
    client.realize(["-c", str(tmp_path / "supervisord.conf"), "ready"], doc="")
    assert [(name, factory, kwargs) for name, factory, kwargs in client.plugin_factories[1:]] == [
        ("bootseal", ctl.make, {})
    ]


def test_no_value_of_the_environment_is_in_the_configuration(tmp_path: pathlib.Path) -> None:
    text = manifests.SOUND.replace("PORT: 9090", "PORT: s3cr3t-value")
    rendered = render.render(compiled(tmp_path, text))
    assert "s3cr3t-value" not in rendered
    assert "environment" not in rendered


@pytest.mark.parametrize("item", TRAPS)
def test_a_trap_in_an_argument_comes_through(item: str, tmp_path: pathlib.Path, run: str) -> None:
    argv = ("/bin/app", item, "x", item)
    text = render.render(with_argv(compiled(tmp_path, run=run), *argv))
    assert tuple(shlex.split(process_of(parsed(text, tmp_path), "api").command)) == argv


@pytest.mark.parametrize("program", [trap for trap in TRAPS if trap])
def test_a_trap_in_the_programs_own_name_comes_through(program: str, tmp_path: pathlib.Path, run: str) -> None:
    text = render.render(with_argv(compiled(tmp_path, run=run), f"/opt/{program}"))
    assert shlex.split(process_of(parsed(text, tmp_path), "api").command) == [f"/opt/{program}"]


printable = strategies.text(alphabet=strategies.characters(min_codepoint=32, max_codepoint=126), max_size=30)
tricky = strategies.text(alphabet=" ;#%'\"\\()s$=:[]a", max_size=20)


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(strategies.lists(printable | tricky, max_size=5), printable | tricky)
def test_any_printable_argv_comes_through(tail: list[str], head: str) -> None:
    argv = [f"/{head}", *tail]
    parser = supervisor_options.UnhosedConfigParser()
    parser.read_string(f"[program:a]\ncommand={' '.join(map(render.quote, argv)).replace('%', '%%')}\n")
    assert shlex.split(parser.saneget("program:a", "command")) == argv


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(strategies.lists(strategies.text(max_size=12), max_size=4))
def test_any_argv_at_all_is_one_line_of_ascii(tail: list[str]) -> None:
    line = " ".join(render.quote(item) for item in ["/bin/a", *tail])
    assert all(" " <= one <= "~" for one in line)
    parser = supervisor_options.UnhosedConfigParser()
    parser.read_string(f"[program:a]\ncommand={line.replace('%', '%%')}\n")
    assert len(shlex.split(parser.saneget("program:a", "command"))) == 1 + len(tail)


def test_what_a_line_cannot_carry_is_shown_escaped(tmp_path: pathlib.Path) -> None:
    rendered = render.render(with_argv(compiled(tmp_path), "sh", "-c", "one\ntwo\té\x7f\r[program:evil]\ncommand=evil"))
    assert rendered.isascii()
    assert "command=sh -c 'one\\ntwo\\t\\xe9\\x7f\\r[program:evil]\\ncommand=evil'\n" in rendered
    parser = configparser.RawConfigParser()
    parser.read_string(rendered)
    assert "program:evil" not in parser.sections()


@pytest.mark.parametrize("program", ["/opt/é", "a\nb", "a\tb", "\x7f", ""])
def test_a_program_that_supervisord_could_not_look_up_is_refused(program: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.BootsealError, match="program api, command"):
        render.render(with_argv(compiled(tmp_path), program))


@pytest.mark.parametrize("directory", ["/é", "/a\nb", "/a ;b", "/a #b", " /a", "/a ", ""])
def test_a_directory_that_supervisord_would_misread_is_refused(directory: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.BootsealError, match="program api, directory"):
        render.render(with_argv(compiled(tmp_path), "a", directory=directory))


@pytest.mark.parametrize("directory", ["/a b", "/a;b", "/100%", "/%(here)s", "/a'b", "/a=b:c"])
def test_an_odd_directory_comes_through(directory: str, tmp_path: pathlib.Path, run: str) -> None:
    text = render.render(with_argv(compiled(tmp_path, run=run), "a", directory=directory))
    assert process_of(parsed(text, tmp_path), "api").directory == directory


def test_an_odd_run_directory_comes_through(tmp_path: pathlib.Path) -> None:
    run = f"{tmp_path}/r n%(x)s"
    os.makedirs(f"{run}/tmp")
    server = parsed(render.render(compiled(tmp_path, run=run)), tmp_path)
    assert server.pidfile == f"{run}/supervisord.pid"
    assert server.configroot.supervisord.server_configs[0]["file"] == f"{run}/supervisor.sock"
    factories = {name: settings for name, _, settings in server.configroot.supervisord.rpcinterface_factories}
    assert factories["bootseal"] == {"run_directory": run}


def test_nothing_is_left_for_supervisord_to_expand(tmp_path: pathlib.Path) -> None:
    rendered = render.render(with_argv(compiled(tmp_path), "a", "%(ENV_SECRET)s", "%s"))
    assert rendered.replace("%%", "").replace("process_name=%(program_name)s", "").count("%") == 0


@pytest.mark.parametrize("field", ["name", "run_directory"])
def test_a_plan_from_elsewhere_cannot_write_lines_of_its_own(field: str, tmp_path: pathlib.Path) -> None:
    hostile = dataclasses.replace(compiled(tmp_path), **{field: "/x\n[include]\nfiles=/evil"})
    with pytest.raises(errors.BootsealError):
        render.render(hostile)


def test_a_program_of_an_unsafe_name_is_refused(tmp_path: pathlib.Path) -> None:
    the_plan = compiled(tmp_path)
    programs = (dataclasses.replace(the_plan.programs[0], name="x]\nfiles=/evil"), *the_plan.programs[1:])
    with pytest.raises(errors.BootsealError):
        render.render(dataclasses.replace(the_plan, programs=programs))


def test_the_same_plan_gives_the_same_text(tmp_path: pathlib.Path) -> None:
    assert render.render(compiled(tmp_path)) == render.render(compiled(tmp_path))


def test_sections_stand_in_a_fixed_order(tmp_path: pathlib.Path) -> None:
    rendered = render.render(compiled(tmp_path))
    assert rendered.startswith("; generated by bootseal from the manifest of sample: do not edit")
    sections = [line.strip("[]") for line in rendered.splitlines() if line.startswith("[")]
    expected = ["unix_http_server", "supervisord", "supervisorctl", "ctlplugin:bootseal"]
    expected += ["rpcinterface:supervisor", "rpcinterface:bootseal"]
    programs = [f"program:{name}" for name in ("probes", "bootstrap", "migrate", "api", "helper", "bootstrap-seal")]
    assert sections == expected + programs


def test_supervisorctl_reads_the_same_file(tmp_path: pathlib.Path, run: str) -> None:
    path = tmp_path / "supervisord.conf"
    path.write_text(render.render(compiled(tmp_path, run=run)))
    client = supervisor_options.ClientOptions()
    client.realize(["-c", str(path), "status"], doc="")
    assert client.serverurl == f"unix://{run}/supervisor.sock"


def test_preflight_accepts_a_configuration_before_the_run_directory_exists(tmp_path: pathlib.Path) -> None:
    text = render.render(compiled(tmp_path, run=f"{tmp_path}/not/there"))
    assert preflight.prove(text.encode()) == supervisor_options.VERSION
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("minfds=1024", "minfds=many", "many"),
        ("stopsignal=TERM", "stopsignal=NOPE", "not a valid signal name"),
        ("command=helper", "command=%(nope)s", "nope"),
        ("command=helper", "kommand=helper", "does not specify a command"),
        ("[supervisord]", "[supervizord]", "supervisord section"),
        ("supervisord.extension:make", "supervisord.nothing:make", "cannot be resolved"),
        ("[supervisord]", "[supervisord", "no section headers|contains parsing errors|supervisord"),
        ("[supervisorctl]", "[include]\nfiles=/nowhere/*.conf\n[supervisorctl]", "No file matches"),
    ],
)
def test_preflight_refuses_with_the_reason(old: str, new: str, why: str, tmp_path: pathlib.Path) -> None:
    text = render.render(compiled(tmp_path)).replace(old, new, 1)
    with pytest.raises(errors.BootsealError, match=why) as refusal:
        preflight.prove(text.encode())
    assert "Traceback" not in str(refusal.value)


def ask(*arguments: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", preflight.__file__, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, **keywords)


def test_preflight_is_a_program_with_three_answers(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "supervisord.conf"
    path.write_text(render.render(compiled(tmp_path)))
    accepted = ask(str(path))
    assert (accepted.returncode, accepted.stdout, accepted.stderr) == (0, f"{supervisor_options.VERSION}\n", "")
    refused = ask(str(tmp_path / "missing.conf"))
    assert (refused.returncode, refused.stdout) == (exit_codes.USAGE_ERROR, "")
    assert "could not find config file" in refused.stderr
    assert ask().returncode == exit_codes.USAGE_ERROR


def test_preflight_says_127_when_supervisor_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "supervisor", None)
    assert preflight.main(["supervisord.conf"]) == exit_codes.NOT_FOUND
    assert "supervisor cannot be imported" in capsys.readouterr().err
