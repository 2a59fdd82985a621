"""``bootseal init``: what it writes works at once, says what was found, and never overwrites anything."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import hypothesis
import pytest
from hypothesis import strategies

from container import context, detecting, starting
from entrypoint import cli
from manifest import compile as compiling

STAND_IN = ("app", ("/bin/sh", "-c", "echo hello; exec sleep infinity"))


def run(directory, *options):
    return cli.main(["init", str(directory), "--yes", *options])


def loaded(directory):
    """Return the plan of what was written, which is without a warning."""
    result = compiling.load(str(directory / "bootseal.yaml"))
    assert result.plan is not None and result.diagnostics == (), result.diagnostics
    return result.plan


def programs(directory):
    found = [one for one in loaded(directory).programs if one.role == "program"]
    return {one.name: one for one in found}


def test_an_empty_folder_gets_what_works_at_once(tmp_path, capsys):
    place = tmp_path / "My App!"
    assert run(place) == 0
    assert sorted(os.listdir(place)) == [".dockerignore", "Containerfile", "bootseal.yaml"]
    made = loaded(place)
    assert made.name == "my-app"
    assert [(one.name, one.argv) for one in made.programs if one.role == "program"] == [STAND_IN]
    out = capsys.readouterr().out
    assert "found   nothing that says what runs" in out and f"bootseal up '{place}/bootseal.yaml'" in out
    assert cli.main(["check", str(place / "bootseal.yaml")]) == 0
    assert capsys.readouterr().err == "", "no warning"


SHAPES = {
    "node start": (
        {"package.json": '{"scripts": {"start": "node server.js --port 8000"}}'},
        ("node", "server.js", "--port", "8000"),
    ),
    "node framework": ({"package.json": '{"scripts": {"start": "next start"}}'}, ("npm", "run", "start")),
    "node main": ({"package.json": '{"main": "lib/main.js"}'}, ("node", "lib/main.js")),
    "node index": ({"package.json": "{}", "index.js": ""}, ("node", "index.js")),
    "python script": ({"app.py": "", "requirements.txt": ""}, ("python3", "-u", "app.py")),
    "python package": ({"shop/__main__.py": "", "pyproject.toml": ""}, ("python3", "-u", "-m", "shop")),
    "django": (
        {"manage.py": "", "app.py": ""},
        ("python3", "-u", "manage.py", "runserver", "--noreload", "127.0.0.1:8000"),
    ),
    "go": ({"go.mod": "module x"}, None),
    "rust": ({"Cargo.toml": ""}, None),
    "broken json": ({"package.json": "{", "app.py": ""}, ("python3", "-u", "app.py")),
    "json of another shape": ({"package.json": '["a"]', "server.js": ""}, ("node", "server.js")),
    "scripts of another shape": (
        {"package.json": '{"scripts": ["a"], "main": 3}', "index.js": ""},
        ("node", "index.js"),
    ),
}


def folder(place, files):
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_lies_there_says_what_runs(shape, tmp_path, capsys):
    files, argv = SHAPES[shape]
    place = tmp_path / "shop"
    folder(place, files)
    assert run(place) == 0
    [found] = programs(place).values()
    assert found.argv == argv if argv else found.argv[0].startswith(f"{place}/")
    assert found.directory == str(place)
    said = capsys.readouterr().out.splitlines()[0]
    assert any(name.split("/")[0] in said for name in files), said


def test_a_procfile_s_programs_run_after_its_release(tmp_path):
    text = 'release: python3 migrate.py\nweb: gunicorn app:app -b 0.0.0.0:$PORT\nWorker_1: A=1 run "two words" | tee x\n# no\n\nodd line\n'
    folder(tmp_path, {"Procfile": text, "package.json": '{"main": "x.js"}'})
    assert run(tmp_path) == 0
    found = programs(tmp_path)
    assert {name: (one.oneshot, [need.name for need in one.after]) for name, one in found.items()} == {
        "release": (True, []),
        "web": (False, ["release"]),
        "worker-1": (False, ["release"]),
    }
    assert found["release"].argv == ("python3", "migrate.py")
    assert found["web"].argv == ("/bin/sh", "-c", "exec gunicorn app:app -b 0.0.0.0:$PORT")
    assert found["web"].environment["PORT"] == "8000"
    assert found["worker-1"].argv == ("/bin/sh", "-c", 'A=1 run "two words" | tee x')


def test_a_program_of_a_procfile_may_not_be_called_as_one_of_bootseal_s(tmp_path, capsys):
    folder(tmp_path, {"Procfile": "probes: run\n"})
    assert run(tmp_path) == 2
    assert "reserved" in capsys.readouterr().err and not (tmp_path / "bootseal.yaml").exists()


@hypothesis.given(
    strategies.lists(strategies.text(max_size=12).filter(lambda one: "\0" not in one), min_size=1, max_size=5)
)
def test_words_are_those_that_a_shell_would_read(words):
    command = shlex.join(words)
    found = detecting.words(command)
    if found[:2] == ("/bin/sh", "-c"):
        assert found[2].removeprefix("exec ") == command
    else:
        assert list(found) == words


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("a 'b c'", ("a", "b c")),
        ("a $X", ("/bin/sh", "-c", "exec a $X")),
        ("a ${X}", ("/bin/sh", "-c", "exec a ${X}")),
        ("a && b", ("/bin/sh", "-c", "a && b")),
        ("a $(b)", ("/bin/sh", "-c", "a $(b)")),
        ("X=1 a", ("/bin/sh", "-c", "X=1 a")),
        ("a 'b", ("/bin/sh", "-c", "exec a 'b")),
        ("cd x; a", ("/bin/sh", "-c", "cd x; a")),
    ],
)
def test_a_shell_is_used_only_where_one_is_meant(command, argv):
    assert detecting.words(command) == argv


@pytest.mark.parametrize(
    ("text", "label"), [("Shop", "shop"), ("a__b", "a-b"), ("---", "app"), ("ü", "app"), ("x" * 80, "x" * 63)]
)
def test_a_folder_s_name_becomes_a_name_that_a_manifest_may_have(text, label):
    assert detecting.label(text, "app") == label


@pytest.mark.parametrize("name", ["bootseal.yaml", "Containerfile"])
def test_nothing_is_overwritten_and_nothing_written_where_one_file_is_there(name, tmp_path, capsys):
    (tmp_path / name).write_text("mine")
    assert run(tmp_path) == 1
    assert (
        f"{tmp_path}/{name}: it is there, and nothing is overwritten (--force overwrites it)" in capsys.readouterr().err
    )
    assert os.listdir(tmp_path) == [name] and (tmp_path / name).read_text() == "mine"
    assert run(tmp_path, "--force") == 0
    assert (tmp_path / name).read_text() != "mine"


def test_a_dangling_link_is_there_as_well(tmp_path):
    (tmp_path / "bootseal.yaml").symlink_to("gone")
    assert run(tmp_path) == 1


@pytest.mark.parametrize("name", [".dockerignore", ".containerignore"])
def test_an_ignore_file_that_is_there_stays_and_does_not_stop_anything(name, tmp_path):
    (tmp_path / name).write_text("mine\n")
    assert run(tmp_path) == 0
    assert run(tmp_path, "--force") == 0, "it may keep secrets out of the image"
    assert (tmp_path / name).read_text() == "mine\n"
    assert {".dockerignore", ".containerignore"} & set(os.listdir(tmp_path)) == {name}


def test_name_command_and_base_are_taken_from_the_command_line(tmp_path):
    (tmp_path / "app.py").touch()
    base = f"registry/python@sha256:{'1' * 64}"
    assert run(tmp_path, "--name", "web", "--command", "python3 -u 'my app.py'", "--base", base) == 0
    assert loaded(tmp_path).name == "web"
    assert programs(tmp_path)["app"].argv == ("python3", "-u", "my app.py")
    assert context.recipe(str(tmp_path), None).arguments["BASE"] == base


@pytest.mark.parametrize("base", ["python\nRUN evil", "a b", ""])
def test_a_base_that_is_no_reference_becomes_no_line_of_the_containerfile(base, tmp_path, capsys):
    assert run(tmp_path, "--base", base) == 1
    assert "it is no reference to an image" in capsys.readouterr().err and os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["Shop", "-x", "", "a.b", "bootseal", "x" * 64])
def test_a_name_that_no_container_can_have_is_a_usage_error(name, tmp_path, capsys):
    assert run(tmp_path, "--name", name) == 2
    assert "cannot be the name" in capsys.readouterr().err and os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "command",
    [
        "echo '${nosuch}' ${X:-y}",
        "echo ${writable:/no}",
        "./x\ty",
        "a # b",
        "a: b",
        "- x",
        "'",
        "é",
        "x" * 5000,
        "--",
        "true\n- y",
    ],
)
def test_whatever_the_command_is_the_manifest_says_exactly_that_or_nothing_is_written(command, tmp_path, capsys):
    code = run(tmp_path, "--command", command)
    if code == 0:
        assert programs(tmp_path)["app"].argv == detecting.words(command)
    else:
        assert code == 2 and "error[" in capsys.readouterr().err and os.listdir(tmp_path) == []


def test_an_expression_stays_one_and_a_shell_s_variable_stays_that(tmp_path):
    assert run(tmp_path, "--command", "run ${here}/x ${run}/y ${PORT}") == 0
    [*_, text] = programs(tmp_path)["app"].argv
    assert text == f"exec run {tmp_path}/x /run/bootseal/y ${{PORT}}"


def test_on_a_terminal_it_asks_and_takes_the_answers(tmp_path):
    master, slave = os.openpty()
    os.write(master, b"front\necho 'two words'\n")
    command = [sys.executable, "-I", "-m", "entrypoint", "init", str(tmp_path)]
    done = subprocess.run(command, stdin=slave, capture_output=True, text=True, check=False, timeout=60)
    os.close(slave)
    os.close(master)
    assert done.returncode == 0, done.stderr
    assert loaded(tmp_path).name == "front"
    assert programs(tmp_path)["app"].argv == ("echo", "two words")


def test_without_a_terminal_nothing_is_asked(tmp_path):
    command = [sys.executable, "-I", "-m", "entrypoint", "init", str(tmp_path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run(tmp_path / "file" / "x") == 1
    assert "file/x: it is not a directory (name the application's folder)" in capsys.readouterr().err


def test_the_commands_that_come_next_can_be_given_to_a_shell(tmp_path, capsys):
    folder = tmp_path / "My App; 1"
    assert run(folder) == 0
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [shlex.split(line)[-1] for line in lines] == [str(folder / "bootseal.yaml"), str(folder)]


KINDS = {
    "other": ({}, "debian:bookworm-slim", "command -v python3;", None),
    "python": (
        {"app.py": "", "requirements.txt": "x"},
        "python:3.11-slim-bookworm",
        "command -v python3;",
        "pip install",
    ),
    "node": (
        {"package.json": '{"main": "x"}', "package-lock.json": ""},
        "node:22-bookworm-slim",
        "&& command -v node;",
        "npm ci",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_containerfile_is_bootseal_s_own_with_what_the_application_needs(kind, tmp_path):
    files, base, needs, installs = KINDS[kind]
    folder(tmp_path / "shop", files)
    assert run(tmp_path / "shop") == 0
    found = context.recipe(str(tmp_path / "shop"), None)
    assert found.arguments["BASE"] == f"docker.io/library/{base}" and found.arguments["NAME"] == "shop"
    assert re.search(rf"^RUN .*{re.escape(needs)}", found.text, re.MULTILINE)
    assert "PRODUCT_BASE" not in found.text
    stages = re.findall(r"^FROM (\S+) AS (\w+)$", found.text, re.MULTILINE)
    assert stages == [("${BASE}", "base"), ("base", "dependencies"), ("dependencies", "product"), ("base", "image")]
    runs = [line for line in found.text.splitlines() if line.startswith("RUN ")]
    assert installs is None or any(installs in line for line in runs)
    own = pathlib.Path(context.PACKAGED).read_text()
    assert found.text.split("ENTRYPOINT")[1] == own.split("ENTRYPOINT")[1], "one way to make an image"


def test_every_stage_of_it_says_the_time_first(tmp_path):
    assert run(tmp_path) == 0
    lines = (tmp_path / "Containerfile").read_text().splitlines()
    after = {lines[index + 1] for index, line in enumerate(lines) if line.startswith("FROM ")}
    assert after == {'LABEL io.bootseal.epoch="${SOURCE_DATE_EPOCH}"'}


def test_what_is_written_depends_on_the_folder_alone(tmp_path):
    for place in (tmp_path / "a" / "shop", tmp_path / "b" / "shop"):
        folder(place, {"app.py": ""})
        assert run(place) == 0
    for name in (starting.MANIFEST, starting.CONTAINERFILE, starting.IGNORE):
        assert (tmp_path / "a/shop" / name).read_bytes() == (tmp_path / "b/shop" / name).read_bytes()


def test_a_containerfile_of_bootseal_s_that_changed_too_much_is_noticed_here(tmp_path, monkeypatch):
    text = pathlib.Path(context.PACKAGED).read_text()
    (tmp_path / "Containerfile").write_text(text.replace("ARG NAME", "ARG TITLE"))
    monkeypatch.setattr(context, "PACKAGED", str(tmp_path / "Containerfile"))
    start = starting.Start("x", detecting.Proposal("nothing", detecting.OTHER, (starting.STAND_IN,)))
    with pytest.raises(ValueError, match="ARG NAME"):
        starting.containerfile(start)


def test_a_huge_folder_and_a_huge_file_are_looked_at_quickly_enough(tmp_path):
    for index in range(3000):
        (tmp_path / f"file{index}").touch()
    (tmp_path / "package.json").write_text(json.dumps({"main": "x.js", "padding": "x" * (2 << 20)}))
    found = detecting.propose(detecting.survey(str(tmp_path)))
    assert found is None, "a package.json of megabytes is none"


def test_a_folder_whose_name_is_no_module_is_no_program(tmp_path):
    (tmp_path / "x\n  evil: {command: [id]}\n#").mkdir()
    for place in tmp_path.iterdir():
        (place / "__main__.py").touch()
    assert detecting.survey(str(tmp_path)).packages == ()
