"""``programs.from``: programs of existing configurations in a manifest, and everything else refused by name at its line."""

import hashlib
import json
import pathlib
from typing import Any

import jsonschema
import pytest
import yaml

from manifest import compile as compiling
from manifest import diagnostics, plan, schema
from supervisord import render
from tests.unit.manifest import manifests

HEAD = "version: 1\nname: x\nprograms:\n  from: app.conf\n"
APP = """\
[program:My_App]
command=/usr/bin/env 'FOO=a b' sh -c 'echo ${HOME} 100%% %(here)s' ; comment
process_name=%(program_name)s_%(process_num)02d
numprocs=2
environment=A="1,2",B="%(process_num)d"
stopwaitsecs=20
startsecs=5

[fcgi-program:php]
command=php-cgi
socket=tcp://127.0.0.1:9000

[eventlistener:watch]
command=python -u watch.py
events=PROCESS_STATE
"""


def load(folder: pathlib.Path, conf: str = APP, text: str = HEAD, **files: str) -> compiling.Result:
    (folder / "app.conf").write_text(conf)
    for name, content in files.items():
        (folder / f"{name}.conf").write_text(content)
    return manifests.load(folder, text)


def planned(folder: pathlib.Path, conf: str = APP, text: str = HEAD) -> plan.Plan:
    result = load(folder, conf, text)
    assert result.plan is not None, "\n".join(map(str, result.diagnostics))
    return result.plan


def names(the_plan: plan.Plan) -> list[str]:
    return [one.name for one in the_plan.programs if one.role == "program"]


def test_programs_are_taken_and_rendered_through_our_own_escaper(tmp_path: pathlib.Path) -> None:
    the_plan = planned(tmp_path)
    assert names(the_plan) == ["my-app-00", "my-app-01", "php", "watch"]
    one = the_plan.program("my-app-01")
    assert one is not None
    assert one.argv == ("/usr/bin/env", "FOO=a b", "sh", "-c", f"echo ${{HOME}} 100% {tmp_path}")
    assert (one.environment, one.stop_timeout_seconds, one.ready.for_seconds) == ({"A": "1,2", "B": "1"}, 20.0, 5.0)
    text = render.render(the_plan)
    assert "[fcgi-program:php]" in text and "socket=tcp://127.0.0.1:9000\n" in text
    assert "[eventlistener:watch]" in text and "events=PROCESS_STATE\n" in text
    assert "environment" not in text
    assert "100%% " in text


def test_what_the_manifest_adds_joins_the_imported_program(tmp_path: pathlib.Path) -> None:
    text = (
        f"{HEAD}  my-app-00: {{required: false, ready: {{tcp: 5432}}, environment: {{C: c}}, stop: {{signal: INT}}}}\n"
        "  late: {command: [late], after: [my-app-01, php]}\n"
        "secrets: {key: {generate: 32, programs: [php]}}\nsignals: {USR1: [watch]}\n"
    )
    the_plan = planned(tmp_path, text=text)
    one = the_plan.program("my-app-00")
    assert one is not None
    assert (one.required, one.ready.kind, one.stop_signal, one.stop_timeout_seconds) == (False, plan.TCP, "INT", 20.0)
    assert one.environment == {"A": "1,2", "B": "0", "C": "c"}
    late = the_plan.program("late")
    assert late is not None and [need.name for need in late.after] == ["my-app-01", "php"]


def test_from_is_a_program_where_it_is_a_mapping(tmp_path: pathlib.Path) -> None:
    """Manifests that had a program of this name keep it."""
    the_plan = planned(tmp_path, text="version: 1\nname: x\nprograms: {from: {command: [from]}, b: {command: [b]}}\n")
    assert names(the_plan) == ["from", "b"]
    assert the_plan.manifest_sha256 == hashlib.sha256((tmp_path / "bootseal.yaml").read_bytes()).hexdigest()


def test_an_imported_program_may_be_called_from(tmp_path: pathlib.Path) -> None:
    assert names(planned(tmp_path, "[program:from]\ncommand=a\n")) == ["from"]


def test_the_digest_of_the_manifest_covers_what_it_imports(tmp_path: pathlib.Path) -> None:
    before = planned(tmp_path)
    assert planned(tmp_path).manifest_sha256 == before.manifest_sha256
    after = planned(tmp_path, f"{APP}; nothing but a comment\n")
    assert after.manifest_sha256 != before.manifest_sha256
    assert names(after) == names(before)


def test_several_files_and_patterns_are_read_in_their_order(tmp_path: pathlib.Path) -> None:
    text = 'version: 1\nname: x\nprograms: {from: ["${here}/z.conf", "[bc].conf", z.conf], own: {command: [own]}}\n'
    conf = "[program:%s]\ncommand=a\n"
    result = load(tmp_path, "", text, b=conf % "b", c=conf % "c", z=conf % "z")
    assert result.plan is not None
    assert names(result.plan) == ["z", "b", "c", "own"]


def test_a_program_of_a_group_is_imported_by_its_own_name(tmp_path: pathlib.Path) -> None:
    conf = "[group:g]\nprograms=a,b\n[program:a]\ncommand=a\n[program:b]\ncommand=b\n"
    assert names(planned(tmp_path, conf)) == ["a", "b"]


REFUSED = {
    "supervisord itself": ("[supervisord]\nnodaemon=true", "E112", 1),
    "a listener on the network": ("[inet_http_server]\nport=9001", "E112", 1),
    "a plug-in": ("[rpcinterface:x]\nsupervisor.rpcinterface_factory=x:y", "E112", 1),
    "an include": ("[include]\nfiles=*", "E112", 1),
    "a section of nobody's": ("[x]\ny=z", "E112", 1),
    "a program without a name": ("[program:]\ncommand=a", "E112", 1),
    "an unknown option": ("[program:a]\ncommand=a\nstopwaitsec=3", "E113", 3),
    "an unknown option of a group": ("[program:a]\ncommand=a\n[group:g]\nprograms=a\nsize=3", "E113", 5),
    "no command": ("[program:a]\nstartsecs=3", "E114", 1),
    "an unknown signal": ("[program:a]\ncommand=a\nstopsignal=WHAT", "E114", 3),
    "an unknown event": ("[eventlistener:a]\ncommand=a\nevents=TICK_5,WHAT", "E114", 3),
    "a group of strangers": ("[group:g]\nprograms=x", "E114", 2),
    "quotes that do not close": ("[program:a]\ncommand=a 'b", "E114", 2),
    "a user": ("[program:a]\ncommand=a\nuser=www-data", "E115", 3),
    "a umask": ("[program:a]\ncommand=a\numask=022", "E115", 3),
    "what nothing starts": ("[program:a]\ncommand=a\nautostart=false", "E115", 3),
    "what the boot alone knows": ("[program:a]\ncommand=a %(ENV_X)s", "E115", 2),
    "an environment of the boot's": ('[program:a]\ncommand=a\nenvironment=A="%(ENV_X)s"', "E115", 3),
    "a host's name": ("[program:a]\ncommand=a %(host_node_name)s", "E115", 2),
    "a relative directory": ("[program:a]\ncommand=a\ndirectory=b", "E115", 3),
    "a signal that we do not send": ("[program:a]\ncommand=a\nstopsignal=WINCH", "E115", 3),
    "a handler within PID 1": ("[eventlistener:a]\ncommand=a\nevents=TICK_5\nresult_handler=x:y", "E115", 4),
    "output as events": ("[eventlistener:a]\ncommand=a\nevents=TICK_5,PROCESS_LOG", "E115", 3),
    "a pool of listeners": (
        "[eventlistener:a]\ncommand=a\nevents=TICK_5\nnumprocs=2\nprocess_name=%(process_num)d", "E115", 4,
    ),
    "an owner of a socket": ("[fcgi-program:a]\ncommand=a\nsocket=tcp://127.0.0.1:1\nsocket_owner=x", "E115", 4),
    "no configuration": ("[program:a]\ncommand", "E111", 2),
    "one name twice": ("[program:a_b]\ncommand=a\n[program:a-b]\ncommand=a", "E116", 3),
    "a name of bootseal's own": ("[program:probes]\ncommand=a", "E050", 1),
}  # fmt: skip


@pytest.mark.parametrize(("conf", "code", "line"), REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused_by_name_at_its_line(conf: str, code: str, line: int, tmp_path: pathlib.Path) -> None:
    result = load(tmp_path, conf)
    assert result.plan is None
    found = {(one.code, one.place.line) for one in result.diagnostics if one.place and one.place.file is not None}
    assert (code, line) in found, result.diagnostics
    shown = diagnostics.render(result.diagnostics, "m.yaml", result.text)
    assert f"{tmp_path}/app.conf:{line}:1: error[{code}]" in shown


def test_every_fault_is_found_at_once(tmp_path: pathlib.Path) -> None:
    conf = "\n".join(conf for conf, code, _ in REFUSED.values() if code in {"E112", "E113"})
    assert len([one for one in load(tmp_path, conf).diagnostics if one.code in {"E112", "E113"}]) == 8


@pytest.mark.parametrize("option", ["priority=3", "stdout_logfile=/var/log/a", "stderr_syslog=true", "exitcodes=0,2"])
def test_what_has_no_effect_here_is_a_warning(option: str, tmp_path: pathlib.Path) -> None:
    result = load(tmp_path, f"[program:a]\ncommand=a\n{option}\n")
    assert result.plan is not None
    assert manifests.codes(result) == ["W110"]


WRONG = {
    "an empty list": ("[]", "E118"),
    "a number": ("3", "E118"),
    "nothing": ("", "E118"),
    "a list in a list": ("[[a]]", "E118"),
    "an expression of the boot's": ('"${run}/app.conf"', "E118"),
    "a missing file": ("missing.conf", "E110"),
    "a pattern of nothing": ('"*.nothing"', "E110"),
    "a directory": (".", "E110"),
    "a device": ("/dev/zero", "E110"),
}


@pytest.mark.parametrize(("written", "code"), WRONG.values(), ids=WRONG)
def test_a_from_that_names_nothing_readable_is_refused(written: str, code: str, tmp_path: pathlib.Path) -> None:
    result = load(tmp_path, text=f"version: 1\nname: x\nprograms:\n  from: {written}\n  b: {{command: [b]}}\n")
    assert result.plan is None
    assert code in manifests.codes(result)
    assert all(one.place is not None for one in result.diagnostics)


def test_a_command_of_its_own_is_a_second_program_of_the_name(tmp_path: pathlib.Path) -> None:
    result = load(tmp_path, text=f"{HEAD}  php: {{command: [php]}}\n")
    assert manifests.codes(result) == ["E116"]


@pytest.mark.parametrize(
    "keys", ["stop: {timeout: 3s}", "environment: {A: other}", "fastcgi: tcp://127.0.0.1:1", "listener: [TICK_5]"]
)
def test_what_the_imported_file_decides_is_decided(keys: str, tmp_path: pathlib.Path) -> None:
    name = {"fast": "php", "list": "watch"}.get(keys[:4], "my-app-00")
    result = load(tmp_path, text=f"{HEAD}  {name}: {{{keys}}}\n")
    assert result.plan is None
    assert set(manifests.codes(result)) == {"E117"}


def test_a_secret_in_an_imported_environment_is_noticed_and_not_shown(tmp_path: pathlib.Path) -> None:
    conf = '[program:a]\ncommand=a\nenvironment=DB_PASSWORD="Zk4!vR8qLw"\n'
    result = load(tmp_path, conf)
    assert "W010" in manifests.codes(result)
    shown = diagnostics.render(result.diagnostics, "m.yaml", result.text)
    assert "Zk4" not in shown
    assert "Zk4" not in json.dumps(diagnostics.to_json(result.diagnostics, "m.yaml", result.text))


FASTCGI = {
    "a path that is not writable": ("fastcgi: unix:///srv/x.sock", "E119"),
    "a relative path": ("fastcgi: unix://x.sock", "E029"),
    "a file of ours": ('fastcgi: "unix://${run}/supervisor.sock"', "E119"),
    "no scheme": ("fastcgi: /run/x.sock", "E119"),
    "a host's name": ("fastcgi: tcp://db:9000", "E119"),
    "IPv6": ('fastcgi: "tcp://[::1]:9000"', "E119"),
    "a mode of a port": ("fastcgi: {socket: tcp://127.0.0.1:1, mode: 0600}", "E119"),
    "a mode that is none": ("fastcgi: {socket: tcp://127.0.0.1:1, mode: rwx}", "E030"),
    "a one-shot": ("fastcgi: tcp://127.0.0.1:1, oneshot: true", "E119"),
    "both": ("fastcgi: tcp://127.0.0.1:1, listener: [TICK_5]", "E119"),
    "a listener that is a one-shot": ("listener: [TICK_5], oneshot: true", "E119"),
    "a listener of nothing": ("listener: []", "E119"),
    "a listener of output": ("listener: [PROCESS_LOG]", "E119"),
    "an unknown event": ("listener: [TICK_7]", "E119"),
    "no buffer": ("listener: {events: [TICK_5], buffer: 0}", "E024"),
    "a path that a line cannot carry": ('fastcgi: "unix://${run}/a ;b"', "E119"),
}


@pytest.mark.parametrize(("keys", "code"), FASTCGI.values(), ids=FASTCGI)
def test_a_socket_or_listener_that_cannot_be_is_refused(keys: str, code: str, tmp_path: pathlib.Path) -> None:
    result = manifests.load(tmp_path, f"version: 1\nname: x\nprograms: {{a: {{command: [a], {keys}}}}}\n")
    assert code in manifests.codes(result)
    assert result.plan is None


def test_who_shares_a_socket_says_the_same_of_it(tmp_path: pathlib.Path) -> None:
    text = (
        "version: 1\nname: x\nprograms: {{a: {{command: [a], fastcgi: {one}}}, b: {{command: [b], fastcgi: {two}}}}}\n"
    )
    same = text.format(one='"unix://${run}/x"', two='{socket: "unix://${run}/x"}')
    assert manifests.load(tmp_path, same).plan is not None
    other = text.format(one='"unix://${run}/x"', two='{socket: "unix://${run}/x", mode: 0660}')
    assert manifests.codes(manifests.load(tmp_path, other)) == ["E119"]


def test_a_listener_is_ready_by_its_protocol_unless_it_says_otherwise(tmp_path: pathlib.Path) -> None:
    def proof(ready: str) -> plan.ReadyPlan:
        text = f"version: 1\nname: x\nprograms: {{a: {{command: [a], listener: [TICK_5]{ready}}}}}\n"
        made = manifests.load(tmp_path, text).plan
        assert made is not None
        one = made.program("a")
        assert one is not None
        return one.ready

    assert proof("").kind == plan.PROTOCOL
    assert (proof(", ready: {timeout: 3s}").kind, proof(", ready: {timeout: 3s}").timeout_seconds) == (
        plan.PROTOCOL,
        3.0,
    )
    assert proof(", ready: {log: up}").kind == plan.LOG


def test_the_schema_for_editors_knows_imports(tmp_path: pathlib.Path) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema.dump()))

    def faults(programs: str) -> list[Any]:
        return list(validator.iter_errors(yaml.safe_load(f"version: 1\nname: x\nprograms: {programs}\n")))

    assert faults("{from: a.conf, b: {required: false}}") == []
    assert faults("{from: [a.conf, '*.ini'], b: {command: [b]}}") == []
    assert faults("{from: {command: [a]}}") == []
    assert faults("{b: {required: false}}") != []
    assert faults("{from: {required: false}}") != []
    assert faults("{from: 3}") != []
    assert faults("{a: {command: [a], fastcgi: 'unix:///x', listener: {events: [TICK_5], buffer: 3}}}") == []
