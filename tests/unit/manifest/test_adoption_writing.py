"""The manifest that `bootseal adopt` writes: it builds, says what was lost, and runs what supervisord would have run."""

import json
import pathlib
import shlex
import subprocess
import sys
from typing import Any

import hypothesis
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import strategies

from contract import errors
from entrypoint import cli
from entrypoint.commands import adopt
from manifest import compile as compiling
from manifest import plan
from manifest.adoption import emission, expansion, ini, shell, writing
from tests.unit.manifest import manifests

ADOPTED = pathlib.Path(__file__).parents[2] / "adopted"
CONFIGURATIONS = sorted(ADOPTED.glob("*.conf"))
ALWAYS = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), os.umask(0)]))"


def adopted(folder: pathlib.Path, text: str, **environment: str) -> writing.Adopted:
    path = folder / "supervisord.conf"
    path.write_text(text)
    return writing.adopt(ini.read(str(path), follows_includes=True), str(folder), "app", environment)


def built(folder: pathlib.Path, made: writing.Adopted) -> plan.Plan:
    result = manifests.load(folder, made.text)
    assert result.plan is not None, "\n".join(map(str, result.diagnostics))
    return result.plan


def program(folder: pathlib.Path, text: str, name: str = "a", **environment: str) -> plan.ProgramPlan:
    found = built(folder, adopted(folder, text, **environment)).program(name)
    assert found is not None
    return found


def notes(folder: pathlib.Path, text: str) -> str:
    return "\n".join(note.text for note in adopted(folder, text).notes)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_each_shape_becomes_a_manifest_that_builds(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    made = writing.adopt(ini.read(str(path), follows_includes=True), str(path.parent), "app", {})
    the_plan = built(tmp_path, made)
    assert [one.name for one in the_plan.programs if one.role == "program"] == sorted(
        made.names.values(), key=[one.name for one in the_plan.programs].index
    )
    again = writing.adopt(ini.read(str(path), follows_includes=True), str(path.parent), "app", {})
    assert again == made


def test_every_key_that_a_manifest_has_is_carried_over(tmp_path: pathlib.Path) -> None:
    text = (
        "[program:a]\ncommand=a -x 'b c'\ndirectory=/srv/a/\nenvironment=A=\"1,2\",B=x\nstartsecs=3\nstartretries=7\n"
        "stopsignal=SIGINT\nstopwaitsecs=25\nautorestart=false\n"
    )
    made = program(tmp_path, text)
    assert made.argv == ("a", "-x", "b c")
    assert made.environment == {"A": "1,2", "B": "x"}
    assert (made.directory, made.stop_signal, made.stop_timeout_seconds, made.start_retries) == (
        "/srv/a",
        "INT",
        25.0,
        7,
    )
    assert (made.ready.kind, made.ready.for_seconds, made.on_exit) == (plan.RUNNING, 3.0, plan.DEGRADE)


def test_what_runs_once_is_a_oneshot_and_who_started_later_is_offered_to_wait(tmp_path: pathlib.Path) -> None:
    made = adopted(
        tmp_path,
        "[program:b]\ncommand=b\n[program:a]\ncommand=a\nautorestart=false\nstartsecs=0\npriority=1\n",
    )
    one = built(tmp_path, made).program("a")
    assert one is not None and one.oneshot
    assert "# after: [a]" in made.text
    assert built(tmp_path, made).program("b").after == ()  # supervisord never waited


def test_what_a_manifest_would_take_for_an_expression_stays_what_it_was(tmp_path: pathlib.Path) -> None:
    text = "[program:a]\ncommand=sh -c 'echo ${HOME} %% $${x}'\nenvironment=A='${run}'\ndirectory=/x/${y}\n"
    made = program(tmp_path, text)
    assert made.argv == ("sh", "-c", "echo ${HOME} % $${x}")
    assert made.environment == {"A": "${run}"}
    assert made.directory == "/x/${y}"


@hypothesis.given(
    strategies.text(strategies.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
)
@hypothesis.example("yes")
@hypothesis.example("1e3")
@hypothesis.example("-")
@hypothesis.example("a: b #c")
@hypothesis.example("\u2028\U0001f600\x85\x1b")
def test_any_text_is_read_back_as_it_was(text: str) -> None:
    line = f"a: [{emission.flow(text)}, {{b: {emission.flow(text)}}}]"
    [first, second] = yaml.safe_load(line)["a"]
    assert first == second["b"] == text.replace("${", "$${")


LOST = {
    "stdout_logfile=/var/log/a.log": "no file is written",
    "stdout_logfile=NONE": "not dropped",
    "stderr_syslog=true": "not to syslog",
    "user=www-data": "security.user",
    "user=root": "nothing runs as root here",
    "priority=5": "nothing ever waited for it",
    "stopsignal=WINCH": "it gets TERM",
    "directory=relative": "Decide: directory=relative",
    "stopwaitsecs=86400": "at most 1h",
    "stdout_capture_maxbytes=1MB": "PROCESS_COMMUNICATION",
    "autorestart=unexpected": "see `on_exit`",
    "environment=SUPERVISOR_X=1": "reserved",
    "serverurl=http://127.0.0.1:9001": "event listeners alone",
    "colour=green": "does not know it",
    "stopwaitsec=3": "supervisor does not know it (perhaps stopwaitsecs was meant), and ignores it",
    "log_stdout=true": "any more, and ignore it",
    "startsecs=%(ENV_X)s": "Decide: startsecs: %(ENV_X)s is known at boot alone",
    "startsecs=soon": "Decide: startsecs",
}


@pytest.mark.parametrize(("option", "said"), LOST.items(), ids=list(LOST))
def test_what_is_not_carried_over_is_said_in_its_place(option: str, said: str, tmp_path: pathlib.Path) -> None:
    made = adopted(tmp_path, f"[program:a]\ncommand=a\n{option}\n")
    [line] = [line for line in made.text.splitlines() if said in line]
    assert line.startswith("    # ") and line.endswith("(supervisord.conf:3)")
    built(tmp_path, made)


@pytest.mark.parametrize(
    "option",
    ["stdout_logfile=/dev/stdout", "stderr_logfile=/dev/fd/2", "stdout_logfile=AUTO", "autorestart=true", "numprocs=1"],
)
def test_what_means_the_same_here_is_not_spoken_of(option: str, tmp_path: pathlib.Path) -> None:
    assert adopted(tmp_path, f"[program:a]\ncommand=a\n{option}\n").notes == ()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (
            "[inet_http_server]\nport=*:9001\nusername=u\npassword=hunter2",
            "its username and password are not carried over",
        ),
        ("[unix_http_server]\nfile=/x\nusername=u\npassword=hunter2", "its username and password are not carried over"),
        ("[rpcinterface:x]\nsupervisor.rpcinterface_factory=x:y", "within PID 1"),
        ("[supervisord]\nuser=root", "security.user"),
        ("[group:g]\nprograms=a", "no groups"),
        ("[supervisord]\ncolour=green", "does not know it"),
        ("[x]\ny=z", "ignores it"),
    ],
)
def test_other_sections_are_spoken_of_without_their_secrets(section: str, said: str, tmp_path: pathlib.Path) -> None:
    made = adopted(tmp_path, f"[program:a]\ncommand=a\n{section}\n")
    assert said in "\n".join(note.text for note in made.notes)
    assert "hunter2" not in made.text


def test_a_secret_is_noticed_and_in_no_comment(tmp_path: pathlib.Path) -> None:
    text = (
        '[program:a]\ncommand=a\nenvironment=DB_PASSWORD="Zk4!vR8q",URL="postgres://u:Zk4!vR8q@h/d",NEXT="%(ENV_API_TOKEN)s"\n'
        '[program:b]\ncommand=b\nautostart=false\nenvironment=B_PASSWORD="Qw7!pL2m"\n'
    )
    made = adopted(tmp_path, text)
    said = [note.text for note in made.notes]
    assert [one.partition(":")[0] for one in said if "secret" in one] == ["DB_PASSWORD", "URL", "API_TOKEN"]
    assert all(
        "Zk4" not in line and "Qw7" not in line for line in made.text.splitlines() if line.lstrip().startswith("#")
    )


def test_names_become_labels_and_stay_apart(tmp_path: pathlib.Path) -> None:
    text = (
        "[program:My_App]\ncommand=a\nnumprocs=2\nprocess_name=%(process_num)02d\n[program:my.app-00]\ncommand=b\n"
        "[program:probes]\ncommand=c\n[program:___]\ncommand=d\n"
    )
    made = adopted(tmp_path, text)
    assert made.names == {
        "My_App:00": "my-app-00", "My_App:01": "my-app-01", "my.app-00": "my-app-00-2", "probes": "my-probes", "___": "program",
    }  # fmt: skip
    assert "# My_App:00 in supervisord" in made.text
    built(tmp_path, made)


def test_what_started_only_when_asked_is_left_out_and_said(tmp_path: pathlib.Path) -> None:
    made = adopted(tmp_path, "[program:a]\ncommand=a\n[program:b]\ncommand=b\nautostart=false\n")
    assert list(made.names) == ["a"]
    assert "# b is left out: autostart=false" in made.text


def test_a_fastcgi_program_keeps_its_socket(tmp_path: pathlib.Path) -> None:
    text = (
        "[fcgi-program:a]\ncommand=a\nsocket=unix:///var/run/cgi/%(program_name)s.sock\nsocket_mode=0770\nsocket_backlog=5\n"
        "numprocs=2\nprocess_name=%(program_name)s-%(process_num)d\n[fcgi-program:b]\ncommand=b\nsocket=tcp://localhost:9002\n"
    )
    the_plan = built(tmp_path, adopted(tmp_path, text))
    sockets = {one.name: one.fastcgi for one in the_plan.programs if one.role == "program"}
    assert sockets["a-0"] == sockets["a-1"]
    assert sockets["a-0"] is not None and sockets["b"] is not None
    assert (sockets["a-0"].socket, sockets["a-0"].mode, sockets["a-0"].backlog) == ("unix:///run/cgi/a.sock", 0o770, 5)
    assert (sockets["b"].socket, sockets["b"].mode) == ("tcp://127.0.0.1:9002", None)
    assert [root.path for root in the_plan.boot.writable] == ["/run/cgi"]


def test_a_listener_keeps_its_events(tmp_path: pathlib.Path) -> None:
    text = "[eventlistener:a]\ncommand=a\nevents=process_state , TICK_60,PROCESS_LOG\nbuffer_size=7\nnumprocs=2\nprocess_name=%(process_num)d\n"
    made = adopted(tmp_path, text)
    one = built(tmp_path, made).program("a-0")
    assert one is not None and one.listener is not None
    assert (one.listener.events, one.listener.buffer, one.ready.kind) == (
        ("PROCESS_STATE", "TICK_60"),
        7,
        plan.PROTOCOL,
    )
    assert list(made.names.values()) == ["a-0"]
    assert "PROCESS_LOG: no listener is told" in made.text


@pytest.mark.parametrize(
    ("option", "said"),
    [("events=PROCESS_LOG", "no event that a listener is told"), ("events=TICK_5\nresult_handler=x:y", "within PID 1")],
)
def test_a_listener_that_cannot_be_is_left_out(option: str, said: str, tmp_path: pathlib.Path) -> None:
    made = adopted(tmp_path, f"[program:b]\ncommand=b\n[eventlistener:a]\ncommand=a\n{option}\n")
    assert list(made.names) == ["b"]
    assert said in made.text


# --- what the boot alone knows -------------------------------------------------------------------------------------

INLINE = [
    "%(ENV_A)s",
    '"%(ENV_A)s"',
    "'%(ENV_A)s'",
    "--x=%(ENV_A)s.y",
    "a%(ENV_B)s_c",
    "--x='%(ENV_A)s and $B' \"it's\"",
    "%(ENV_A)s%(ENV_B)s",
    "sh -c 'echo \"%(ENV_B)s\" * ${HOME}'",
    "",
]
VALUES = {"A": "one  two*", "B": "/b", "EMPTY": ""}


@pytest.mark.parametrize("words", INLINE)
def test_a_shell_gives_the_words_that_supervisor_would_give(words: str, tmp_path: pathlib.Path) -> None:
    program_ = f"{shlex.quote(sys.executable)} -I -c {shlex.quote(ALWAYS)}"
    text = f"{program_} {words} %(ENV_EMPTY)s end"
    known = {f"ENV_{name}": value for name, value in VALUES.items()}
    wanted = shlex.split(text % known)[4:]
    argv, is_shell = shell.command(expansion.expand(text, {}), {}, None, None)
    assert is_shell
    (tmp_path / "two").touch()  # what the * would become
    said = subprocess.run(
        argv, env={**VALUES, "HOME": "/h"}, cwd=tmp_path, capture_output=True, check=True, text=True
    ).stdout
    assert json.loads(said)[0] == wanted


def run(argv: tuple[str, ...], **environment: str) -> Any:
    said = subprocess.run(argv, env=environment, capture_output=True, check=True, text=True).stdout
    return json.loads(said)


def test_a_shell_carries_umask_directory_and_environment(tmp_path: pathlib.Path) -> None:
    command = f"{shlex.quote(sys.executable)} -I -c {shlex.quote(ALWAYS)} 'a b'".replace("%", "%%")
    text = f'[program:a]\ncommand={command}\numask=027\ndirectory=/%(ENV_WHERE)s\nenvironment=X="<%(ENV_V)s>",Y=y\n'
    argv, environment, directory, umask = run(program(tmp_path, text).argv, WHERE="tmp", V="it's $v")
    assert (argv, directory, umask) == (["a b"], "/tmp", 0o027)
    assert environment["X"] == "<it's $v>"


def test_a_variable_that_is_not_set_ends_the_start(tmp_path: pathlib.Path) -> None:
    made = program(tmp_path, "[program:a]\ncommand=echo %(ENV_MISSING_ONE)s\n")
    ended = subprocess.run(made.argv, env={}, capture_output=True, check=False, text=True)
    assert ended.returncode != 0
    assert "MISSING_ONE" in ended.stderr


def test_the_variables_a_command_waits_for_are_inherited(tmp_path: pathlib.Path) -> None:
    text = '[program:a]\ncommand=a %(ENV_B)s\nenvironment=C="%(ENV_C)s",D="x"\n'
    the_plan = built(tmp_path, adopted(tmp_path, text))
    assert the_plan.boot.environment == ("B", "C")
    assert the_plan.program("a").environment == {"D": "x"}
    assert program(tmp_path, text, B="now").argv[0] == "a"


def test_the_environment_of_supervisord_is_everybodys_and_known(tmp_path: pathlib.Path) -> None:
    text = '[supervisord]\nenvironment=PORT="80",MODE=x\n[program:a]\ncommand=a %(ENV_PORT)s\nenvironment=MODE=y\n'
    made = program(tmp_path, text)
    assert (made.argv, made.environment) == (("a", "80"), {"PORT": "80", "MODE": "y"})


# --- the command ---------------------------------------------------------------------------------------------------

CONF = "[program:a]\ncommand=a\npriority=3\n"


def call(*arguments: str) -> Any:
    return CliRunner().invoke(adopt.adopt, arguments)


def test_the_command_writes_once_and_says_how_much(tmp_path: pathlib.Path) -> None:
    (tmp_path / "s.conf").write_text(CONF)
    conf, output = str(tmp_path / "s.conf"), str(tmp_path / "bootseal.yaml")
    first = call(conf, "-o", output)
    assert (first.exit_code, first.stdout) == (0, "")
    assert first.stderr == f"{conf}: 1 program, 1 note\n"
    assert compiling.load(output).plan is not None
    with pytest.raises(errors.BootsealError, match="there already"):
        CliRunner().invoke(adopt.adopt, [conf, "-o", output], catch_exceptions=False)
    assert call(conf, "-o", output, "--force").exit_code == 0
    assert call(conf).stdout == pathlib.Path(output).read_text()


def test_strict_writes_nothing_when_something_is_lost(tmp_path: pathlib.Path) -> None:
    (tmp_path / "s.conf").write_text(CONF)
    output = tmp_path / "bootseal.yaml"
    found = call(str(tmp_path / "s.conf"), "-o", str(output), "--strict")
    assert found.exit_code == 1
    assert "not carried over: priority=3" in found.stderr
    assert not output.exists()
    (tmp_path / "s.conf").write_text("[program:a]\ncommand=a\n")
    assert call(str(tmp_path / "s.conf"), "-o", str(output), "--strict").exit_code == 0
    assert output.exists()


def test_what_is_left_to_decide_is_said_as_check_says_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "s.conf").write_text('[program:a]\ncommand=a\nenvironment=DB_PASSWORD="changeme"\n')
    found = call(str(tmp_path / "s.conf"), "-o", str(tmp_path / "m.yaml"))
    assert found.exit_code == 0
    assert "error[E104]" in found.stderr and "it cannot be built yet" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["/nonexistent/s.conf"], 1),
        (["/proc/self/mem"], 1),
        ([str(ADOPTED)], 1),
        (["/dev/null"], 1),
        ([], 2),
        ([str(ADOPTED / "django.conf"), "--name", "No Name"], 2),
        ([str(ADOPTED / "django.conf"), "--here", "relative"], 2),
        ([str(ADOPTED / "django.conf"), "-e", "A"], 2),
    ],
)
def test_bad_input_has_its_exit_code_and_one_line(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["adopt", *arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1


def test_nothing_of_the_configuration_is_executed(tmp_path: pathlib.Path) -> None:
    witness = tmp_path / "executed"
    (tmp_path / "evil.py").write_text(f"open({str(witness)!r}, 'w')\ndef make(*a, **k): pass\n")
    (tmp_path / "s.conf").write_text(
        f"[rpcinterface:x]\nsupervisor.rpcinterface_factory=evil:make\n[eventlistener:y]\ncommand=touch {witness}\nevents=TICK_5\n"
        f"result_handler=evil:make\n[program:a]\ncommand=sh -c '$(touch {witness})'\n"
    )
    code = "import sys; sys.path.insert(0, sys.argv[1]); from entrypoint import cli; sys.exit(cli.main(['adopt', sys.argv[2]]))"
    root = pathlib.Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(tmp_path / "s.conf")],
        cwd=root,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not witness.exists()


def test_a_large_configuration_is_adopted_whole(tmp_path: pathlib.Path) -> None:
    text = "".join(f'[program:p{number}]\ncommand=p{number}\nenvironment=A="{number}"\n' for number in range(900))
    made = adopted(tmp_path, text)
    assert made.programs == 900
    assert len(built(tmp_path, made).programs) == 903
