"""The command line as a whole: help, names, errors, completion, and the document that is kept in step."""

import importlib
import inspect
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import click
import pytest
import yaml

from entrypoint import asking, cli, cli_document, options, situation
from entrypoint.commands import completion
from tests.unit import boots

ROOT = pathlib.Path(__file__).parents[3]
SCRIPT = f"{sys.prefix}/bin/bootseal"
DATA = ["status", "why", "wait"]
NAMED = ["start", "stop", "restart"]


def command(name):
    return cli.bootseal.get_command(click.Context(cli.bootseal), name)


def test_every_command_stands_in_one_group_and_has_its_module():
    grouped = [name for names in cli.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(cli.COMMANDS)
    for name in cli.COMMANDS:
        module = importlib.import_module(f"entrypoint.commands.{name}")
        assert isinstance(getattr(module, name), click.Command), name


def test_the_help_of_all_commands_imports_none_of_them_and_is_grouped():
    code = (
        "import sys; from entrypoint import cli; code = cli.main(['--help']);"
        "print([name for name in sys.modules if name.startswith('entrypoint.commands')]); sys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    *shown, imported = result.stdout.splitlines()
    assert imported == "[]"
    assert [line.rstrip(":") for line in shown if line.rstrip(":") in cli.GROUPS] == list(cli.GROUPS)
    for name, text in cli.COMMANDS.items():
        assert any(line.split()[:1] == [name] and text in line for line in shown), name


def test_asking_loads_no_library_that_only_a_picture_or_a_file_needs():
    code = (
        "import sys; from entrypoint import cli; cli.main(['status', '--run-dir', '/nonexistent']);"
        "print(sorted({'rich', 'yaml', 'pydantic', 'supervisor', 'aiohttp', 'cryptography', 'asyncio'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_document_says_what_the_commands_do():
    text = (ROOT / "docs/cli.md").read_text()
    assert cli_document.undocumented(text) == []
    assert cli_document.document(text) == text, "docs/cli.md: write entrypoint.cli_document.document(its text) to it"


def test_a_document_that_is_not_in_step_is_noticed():
    text = (ROOT / "docs/cli.md").read_text()
    changed = text.replace("Print the script that makes SHELL", "Print whatever makes SHELL")
    assert changed != text
    assert cli_document.document(changed) == text
    assert cli_document.undocumented(text.replace("<!-- command why -->", "")) == ["why"]
    with pytest.raises(KeyError):
        cli_document.document("<!-- command nosuch -->\n<!-- end -->")


@pytest.mark.parametrize("name", [*DATA, "doctor", "events", "logs", "verify", "graph", *NAMED])
def test_data_is_printed_in_the_form_that_is_asked_for(name):
    choices = next(one.type.choices for one in command(name).params if "--format" in one.opts)
    assert {"text", "json", "yaml"} <= set(choices)


@pytest.mark.parametrize("name", [*DATA, "doctor", "events", "logs", "verify", *NAMED])
def test_the_run_directory_is_named_by_option_or_variable(name, monkeypatch):
    option = next(one for one in command(name).params if "--run-dir" in one.opts)
    assert option.envvar == options.RUN_DIRECTORY_VARIABLE and option.default == "/run/bootseal"


def run(*arguments, **environment):
    known = {name: value for name, value in os.environ.items() if not name.startswith("BOOTSEAL")}
    return subprocess.run(
        [SCRIPT, *arguments], capture_output=True, text=True, env={**known, **environment}, check=False
    )


@pytest.mark.parametrize("arguments", [[one] for one in ("why", "events", "logs")] + [[one, "api"] for one in NAMED])
def test_where_no_container_runs_the_exit_code_is_6_and_one_line_says_why(arguments, tmp_path):
    result = run(*arguments, BOOTSEAL_RUN_DIR=str(tmp_path))
    assert (result.returncode, result.stdout) == (6, ""), result
    [line] = result.stderr.splitlines()
    assert line.startswith(f"bootseal {arguments[0]}: ") and str(tmp_path) in line and line.endswith(")")


def test_status_tells_what_it_could_not_ask_and_exits_6(tmp_path):
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        result = run("status", "--run-dir", str(tmp_path), "--format", form)
        value = read(result.stdout)
        assert (result.returncode, value["state"], value["phase"], len(value["troubles"])) == (
            6,
            "unknown",
            "absent",
            2,
        )


def test_what_an_error_repeats_of_the_command_line_does_not_act_on_a_terminal(tmp_path):
    for words in (["why"], ["logs"], ["wait", "--for", "\x1b[2J"], ["\x1b[2J"], ["status", "--\x1b[2J"]):
        result = run(*words, BOOTSEAL_RUN_DIR=f"{tmp_path}/\x1b[2J")
        assert result.returncode and "\\x1b[2J" in result.stderr and "\x1b" not in result.stderr, result


def test_waiting_for_what_does_not_come_is_1_and_for_what_is_no_goal_2(tmp_path):
    result = run("wait", "--timeout", "200ms", "--run-dir", str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == f"bootseal wait: not ready within 0.2 s: no boot is known in {tmp_path}\n"
    result = run("wait", "--timeout", "0s", "--format", "json", "--run-dir", str(tmp_path))
    assert json.loads(result.stdout)["timed_out"] is True
    for wrong in (["--for", "happiness"], ["--timeout", "soon"], ["--timeout", "-1s"], ["--format", "xml"]):
        result = run("wait", *wrong, "--run-dir", str(tmp_path))
        assert result.returncode == 2 and result.stderr.count("\n") == 1, result
        assert result.stderr.startswith("bootseal wait: "), result


def test_ctrl_c_is_130_and_no_traceback(tmp_path):
    command_line = [SCRIPT, "status", "-w", "--run-dir", str(tmp_path)]
    process = subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout.readline().startswith(b"READINESS UNKNOWN"), "it runs"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in told


# --- completion -----------------------------------------------------------------------------------------------


def asked(words, shell="bash", **environment):
    known = {
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        completion.VARIABLE: f"{shell}_complete",
    }
    result = run(**{**known, **environment})
    assert result.returncode == 0, result.stderr
    return [line.partition(",")[2] for line in result.stdout.splitlines() if line]


def test_commands_and_options_are_completed():
    assert asked("bootseal st") == ["status", "start", "stop"]
    assert set(cli.COMMANDS) <= set(asked("bootseal "))
    assert "--abs-time" in asked("bootseal status --a")
    assert asked("bootseal completion z") == ["zsh"]


def test_what_can_be_waited_for_is_completed(tmp_path, monkeypatch):
    assert asked("bootseal wait --for ", BOOTSEAL_RUN_DIR=str(tmp_path)) == [
        "ready",
        "sealed",
        "program=NAME",
        "requirement=ID",
    ]
    assert asked("bootseal wait --for s", BOOTSEAL_RUN_DIR=str(tmp_path)) == ["sealed"]
    known = situation.Situation(
        told_by=situation.PROBES, phase="sealed", ready=True, reason="", programs=(boots.view("api"), boots.view("web")),
        requirements=(situation.Requirement("data", "mount", True, "", "", True),),
    )  # fmt: skip
    monkeypatch.setattr(asking, "look", lambda *_, **__: known)
    found = options.complete_goal(click.Context(cli.bootseal), click.Option(["--for"]), "program=w")
    assert [one.value for one in found] == ["program=web"]
    found = options.complete_goal(click.Context(cli.bootseal), click.Option(["--for"]), "req")
    assert [one.value for one in found] == ["requirement=data"]


def test_no_help_shows_what_is_only_meant_for_click():
    for name in cli.COMMANDS:
        command = cli.bootseal.get_command(click.Context(cli.bootseal), name)
        told = command.get_help(click.Context(command, info_name=name))
        assert "\\b" not in told and "\b" not in told, name


def test_completing_a_program_without_a_container_is_nothing_and_no_error(tmp_path):
    assert asked("bootseal restart x", BOOTSEAL_RUN_DIR=str(tmp_path)) == []


def test_completing_a_command_loads_none(monkeypatch):
    loaded: list[str] = []
    monkeypatch.setattr(importlib, "import_module", lambda name: loaded.append(name))
    context = click.Context(cli.bootseal, info_name="bootseal")
    assert [one.value for one in cli.bootseal.shell_complete(context, "st")] == ["status", "start", "stop"]
    assert loaded == []


def test_bash_really_completes(tmp_path):
    """The script is sourced by a real bash, its function called as bash calls it, and COMPREPLY looked at."""
    bash = shell("bash")
    script = tmp_path / "script"
    script.write_text(completion.script("bash"))
    code = f"""
        source {script}
        COMP_WORDS=(bootseal stat); COMP_CWORD=1
        _bootseal_completion bootseal stat bootseal
        printf '%s\\n' "${{COMPREPLY[@]}}"
        complete -p bootseal
    """
    result = subprocess.run([bash, "--norc", "-c", code], capture_output=True, text=True, env=with_script(), check=True)
    assert result.stderr == ""
    reply, registered = result.stdout.splitlines()
    assert reply == "status"
    assert "_bootseal_completion" in registered


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_the_other_shells_take_their_script_and_complete(name, tmp_path):
    path = shell(name)
    script = tmp_path / "script"
    script.write_text(completion.script(name))
    subprocess.run([path, "-n", str(script)], check=True, env=with_script(tmp_path))
    if name == "fish":
        code = f"source {script}; complete --do-complete 'bootseal stat'"
    else:
        code = f"autoload -U compinit; compinit -D -u; source {script}; print ${{_comps[bootseal]}}"
    result = subprocess.run([path, "-c", code], capture_output=True, text=True, env=with_script(tmp_path), check=True)
    assert result.stdout.split()[0] == ("status" if name == "fish" else "_bootseal_completion"), result


def with_script(home=ROOT):
    return {**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}", "HOME": str(home)}


def shell(name):
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return path


def test_only_known_shells_are_offered():
    assert run("completion", "tcsh").returncode == 2
    assert inspect.getdoc(completion.completion.callback)
