"""``bootseal check``, ``build`` and ``schema`` as a person or a build runs them."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from contract import exit_codes, version
from entrypoint import cli
from manifest import plan, rules, schema
from supervisord import preflight
from tests.unit.manifest import manifests

BROKEN = "version: 1\nname: x\nprograms:\n  a: {comand: [a]}\n"


@pytest.fixture
def sound(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "bootseal.yaml"
    path.write_text(manifests.SOUND)
    return str(path)


@pytest.fixture
def broken(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "broken.yaml"
    path.write_text(BROKEN)
    return str(path)


def test_check_says_ok_on_one_line(sound: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", sound]) == exit_codes.OK
    assert capsys.readouterr() == (f"{sound}: ok, 3 programs, 2 required\n", "")


def test_check_prints_errors_to_stderr_and_exits_2(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", broken]) == exit_codes.USAGE_ERROR
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0].startswith(f"{broken}:4:7: error[E020]: unknown key `comand`")
    assert err.splitlines()[1:3] == ["    4 |   a: {comand: [a]}", "      |       ^^^^^^"]


def test_a_warning_does_not_stop(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bootseal.yaml"
    path.write_text(manifests.SMALL + "artifacts: {t: /t}\n")
    assert cli.main(["check", str(path)]) == exit_codes.OK
    out, err = capsys.readouterr()
    assert out == f"{path}: ok, 1 program, 1 required\n"
    assert "warning[W002]" in err


def test_check_speaks_json_to_tools(broken: str, sound: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", broken, "--format", "json"]) == exit_codes.USAGE_ERROR
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["ok"], said["file"], err) == (False, broken, "")
    assert {one["code"] for one in said["diagnostics"]} <= set(rules.RULES)
    first = said["diagnostics"][0]
    assert (first["severity"], first["line"], first["column"], first["source"]) == ("error", 4, 7, "  a: {comand: [a]}")
    assert cli.main(["check", sound, "--format", "json"]) == exit_codes.OK
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], said["programs"], said["required"], said["diagnostics"]) == (True, 3, 2, [])


def test_build_writes_a_plan_that_boot_reads_and_that_names_its_configuration(
    sound: str, tmp_path: pathlib.Path
) -> None:
    out = tmp_path / "deep" / "out"
    assert cli.main(["build", sound, "-o", str(out), "--run-dir", "/run/x", "--prefix", "/usr/lib/bs"]) == exit_codes.OK
    loaded = plan.load(str(out))
    config = (out / plan.CONFIG_FILE).read_bytes()
    assert loaded.plan.config_sha256 == hashlib.sha256(config).hexdigest()
    assert loaded.plan.proven_with == preflight.prove(config)
    assert (loaded.plan.run_directory, loaded.plan.prefix) == ("/run/x", "/usr/lib/bs")
    assert loaded.plan.manifest_sha256 == hashlib.sha256(pathlib.Path(sound).read_bytes()).hexdigest()
    assert sorted(os.listdir(out)) == [plan.PLAN_FILE, plan.CONFIG_FILE]
    assert {os.stat(out / name).st_mode & 0o7777 for name in os.listdir(out)} == {0o644}


def test_build_says_how_long_a_stop_may_take(
    sound: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["build", sound, "-o", str(tmp_path / "out")]) == exit_codes.OK
    parts = "drain 5s, rank 2 11s (helper), rank 1 21s (api), rank 0 11s (migrate), probes 6s"
    unlocked = "artifacts: api, tool: only looked for at boot, not verified (run `bootseal lock` first)"
    assert capsys.readouterr() == (f"stops within 54s: {parts}\n{unlocked}\n", "")


def test_a_lock_that_is_gone_is_gone_from_the_plan_too(sound: str, tmp_path: pathlib.Path) -> None:
    where = tmp_path / "built"
    assert cli.main(["build", sound, "-o", str(where)]) == 0
    (where / "closures.lock").write_text("an earlier one")
    assert cli.main(["build", sound, "-o", str(where), "--check"]) == 2
    assert (where / "closures.lock").exists()
    assert cli.main(["build", sound, "-o", str(where)]) == 0
    assert not (where / "closures.lock").exists()
    assert cli.main(["build", sound, "-o", str(where), "--check"]) == 0


def test_build_refuses_a_stop_that_does_not_fit_the_grace(
    sound: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for grace, code in (("54s", exit_codes.OK), ("53999ms", exit_codes.USAGE_ERROR)):
        pathlib.Path(sound).write_text(manifests.SOUND.replace("grace: 60s", f"grace: {grace}"))
        assert cli.main(["build", sound, "-o", str(tmp_path / grace)]) == code
    assert "error[E073]" in capsys.readouterr().err
    assert not (tmp_path / "53999ms").exists()


def test_graph_draws_a_sound_manifest_and_refuses_another(
    sound: str, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["graph", sound]) == exit_codes.OK
    out, err = capsys.readouterr()
    assert out.startswith("rank 0\n  migrate  one-shot, ready by exit 0\n")
    assert err == ""
    assert cli.main(["graph", sound, "--format", "mermaid"]) == exit_codes.OK
    assert capsys.readouterr().out.startswith("flowchart LR\n")
    assert cli.main(["graph", sound, "--format", "json"]) == exit_codes.OK
    assert [one["name"] for one in json.loads(capsys.readouterr().out)["programs"]] == ["migrate", "api", "helper"]
    assert cli.main(["graph", broken]) == exit_codes.USAGE_ERROR
    out, err = capsys.readouterr()
    assert out == ""
    assert "error[E020]" in err


def test_the_same_input_builds_the_same_bytes(sound: str, tmp_path: pathlib.Path) -> None:
    for name in ("one", "two"):
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONHASHSEED": "1" if name == "one" else "2",
            "PYTHONPATH": os.getcwd(),
        }
        argv = [sys.executable, "-m", "entrypoint", "build", sound, "-o", str(tmp_path / name)]
        subprocess.run(argv, env={**environment, "TZ": name, "LC_ALL": "C"}, check=True, timeout=60)
    for file in (plan.PLAN_FILE, plan.CONFIG_FILE):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_build_writes_nothing_when_the_manifest_has_errors(broken: str, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out"
    assert cli.main(["build", broken, "-o", str(out)]) == exit_codes.USAGE_ERROR
    assert not out.exists()


def test_build_writes_nothing_that_supervisor_refuses(
    sound: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("supervisord.render._EXIT_CODES", {"seal": "0,999"})
    assert cli.main(["build", sound, "-o", str(tmp_path / "out")]) == exit_codes.GENERIC_FAILURE
    assert "not a valid list of exit codes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def build_and_check(sound: str, out: pathlib.Path, *more: str) -> int:
    return cli.main(["build", sound, "-o", str(out), "--check", *more])


def test_build_check_is_silent_when_nothing_drifted(
    sound: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["build", sound, "-o", str(tmp_path / "out")])
    capsys.readouterr()
    assert build_and_check(sound, tmp_path / "out") == exit_codes.OK
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", [plan.PLAN_FILE, plan.CONFIG_FILE])
@pytest.mark.parametrize("edit", ["append", "flip", "truncate", "missing", "directory", "link", "space"])
def test_build_check_finds_any_drift_and_writes_nothing(
    name: str, edit: str, sound: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    cli.main(["build", sound, "-o", str(out)])
    file = out / name
    data = file.read_bytes()
    file.unlink()
    match edit:
        case "append":
            file.write_bytes(data + b"x")
        case "flip":
            file.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
        case "truncate":
            file.write_bytes(data[:-1])
        case "directory":
            file.mkdir()
        case "link":
            (out / "elsewhere").write_bytes(data)
            file.symlink_to("elsewhere")
        case "space":
            file.write_bytes(data.replace(b"\n", b"\r\n", 1))
    before = sorted((path.name, path.lstat().st_mtime_ns) for path in out.iterdir())
    capsys.readouterr()
    assert build_and_check(sound, out) == exit_codes.USAGE_ERROR
    shown, err = capsys.readouterr()
    assert f"--- {file}" in shown
    assert any(line[0] in "+-" and not line.startswith(("---", "+++")) for line in shown.splitlines())
    assert "run `bootseal build" in err
    assert sorted((path.name, path.lstat().st_mtime_ns) for path in out.iterdir()) == before


def test_build_check_finds_a_changed_manifest_and_changed_options(sound: str, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out"
    cli.main(["build", sound, "-o", str(out)])
    assert build_and_check(sound, out, "--run-dir", "/run/other") == exit_codes.USAGE_ERROR
    pathlib.Path(sound).write_text(manifests.SOUND + "# changed\n")
    assert build_and_check(sound, out) == exit_codes.USAGE_ERROR


def test_schema_prints_or_writes_the_schema(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == exit_codes.OK
    assert capsys.readouterr().out == schema.dump()
    assert cli.main(["schema", "-o", str(tmp_path / "schema.json")]) == exit_codes.OK
    assert (tmp_path / "schema.json").read_text() == schema.dump()
    assert cli.main(["schema", "-o", str(tmp_path / "no" / "schema.json")]) == exit_codes.GENERIC_FAILURE
    assert "its directory is not there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["chek"], "did you mean 'check'?"),
        (["zzzz"], "there are init, adopt, check"),
        (["check"], "Missing argument 'FILE'"),
        (["check", "--nope", "x"], "No such option"),
        (["check", "x", "--format", "xml"], "'xml' is not one of"),
        (["build", "x"], "Missing option '-o'"),
        (["build", "x", "-o", "y", "--run-dir", "relative"], "not an absolute normal path"),
        (["build", "x", "-o", "y", "--run-dir", "/" + "a" * 100], "AF_UNIX"),
        (["build", "x", "-o", "y", "--prefix", "/a/../b"], "not an absolute normal path"),
        ([], "Missing command (see `bootseal --help`)"),
    ],
)
def test_a_usage_error_exits_2_with_one_message(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == exit_codes.USAGE_ERROR
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize("argv", [["build", "{sound}", "-o", "/dev/null"], ["build", "{sound}", "-o", "/proc/nope"]])
def test_an_output_that_cannot_be_written_exits_1(
    argv: list[str], sound: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([one.format(sound=sound) for one in argv]) == exit_codes.GENERIC_FAILURE
    assert "it cannot be written" in capsys.readouterr().err


def test_a_fault_of_our_own_is_one_line(
    sound: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fault(*_: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("manifest.compile.load", fault)
    assert cli.main(["check", sound]) == exit_codes.GENERIC_FAILURE
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("bootseal: internal error at test_commands.py:")
    assert "ZeroDivisionError: oops" in line


def run(*arguments: str, **keywords: Any) -> "subprocess.CompletedProcess[bytes]":
    keywords = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **keywords}
    return subprocess.run([sys.executable, "-m", "entrypoint", *arguments], check=False, timeout=60, **keywords)


def test_output_that_nobody_takes_is_an_error_and_no_traceback(sound: str) -> None:
    with open("/dev/full", "wb") as full:
        done = run("check", sound, stdout=full)
    assert (done.returncode, done.stderr) == (
        exit_codes.GENERIC_FAILURE,
        b"bootseal: output: No space left on device\n",
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = run("schema", stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (exit_codes.GENERIC_FAILURE, b"")


def test_a_file_name_of_any_bytes_is_read_and_shown(tmp_path: pathlib.Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xfe.yaml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(manifests.SMALL + "bogus: é\n")
    for locale in ("C", "C.UTF-8"):
        done = run("check", os.fsdecode(path), env={"PATH": os.environ["PATH"], "LC_ALL": locale})
        assert done.returncode == exit_codes.USAGE_ERROR
        assert b"error[E020]" in done.stderr
        assert b"Traceback" not in done.stderr


def test_check_loads_only_what_it_needs(sound: str) -> None:
    script = "import sys\nfrom entrypoint import cli\ncode = cli.main(['check', sys.argv[1]])\nprint(*sys.modules)\nsys.exit(code)"
    done = subprocess.run([sys.executable, "-c", script, sound], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert (
        loaded & {"aiohttp", "cryptography", "rich", "supervisor", "supervisord", "prometheus_client", "psutil", "seal"}
        == set()
    )


def test_the_help_of_all_commands_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    script = "import sys\nfrom entrypoint import cli\ncli.main(['--help'])\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert [name for name in done.stdout.split() if name.startswith("entrypoint.commands")] == []
    assert all(name in done.stdout for name in cli.COMMANDS)
    assert cli.main(["--version"]) == exit_codes.OK
    assert version.VERSION in capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_there(name: str) -> None:
    command = cli.bootseal.get_command(cli.bootseal.make_context("bootseal", ["--help"], resilient_parsing=True), name)
    assert command is not None
    assert command.name == name
