import os
import pathlib
import socket
import subprocess
import sys

import pytest

from artifacts import lock
from contract import errors, exit_codes
from entrypoint import cli
from entrypoint.commands import lock as lock_command
from entrypoint.commands import runtimes as runtimes_command
from manifest import plan, provisions

MANIFEST = """
version: 1
name: box
artifacts:
{artifacts}
programs: {{api: {{command: [/bin/true], required: true}}}}
"""


@pytest.fixture(autouse=True)
def _commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.COMMANDS, "lock", "")
    monkeypatch.setitem(cli.COMMANDS, "runtimes", "")


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    """A manifest's directory with a tree and a file."""
    (tmp_path / "app" / "sub").mkdir(parents=True)
    (tmp_path / "app" / "main").write_text("one")
    os.symlink("../main", tmp_path / "app" / "sub" / "link")
    (tmp_path / "file").write_text("two")
    return tmp_path


def manifest(place: pathlib.Path, *artifacts: str) -> str:
    path = place / "bootseal.yaml"
    lines = artifacts or ("app: '${here}/app'", "data: '${here}/file'")
    path.write_text(MANIFEST.format(artifacts="\n".join(f"  {line}" for line in lines)))
    return str(path)


class Said:
    """What a command printed, without the compiler's warnings on artifacts that no program names."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out.splitlines()
        self.err = [line for line in err.splitlines() if line.startswith("bootseal: ") or "error[" in line]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> object:
    def run(*argv: str) -> Said:
        code = cli.main(list(argv))
        return Said(code, *capsys.readouterr())

    return run


def test_the_lock_stands_beside_the_manifest_and_build_accepts_it(place: pathlib.Path, run):
    said = run("lock", manifest(place))
    assert (said.code, said.err) == (exit_codes.OK, [])
    assert [line.rpartition(", ")[0] for line in said.out[:2]] == [
        "app: tree, 1 file, 3 bytes",
        "data: file, 1 file, 3 bytes",
    ]
    assert said.out[2].startswith(f"{place}/closures.lock: 2 locked in ")
    found = lock.parse((place / "closures.lock").read_bytes(), "x")
    assert said.out[0].endswith(found.closures[0].sha256[:12])
    assert [entry.path for entry in found.closures[0].entries] == ["./app", "./app/main", "./app/sub", "./app/sub/link"]
    assert run("build", manifest(place), "-o", f"{place}/out").code == exit_codes.OK
    built = plan.load(f"{place}/out").plan
    assert [artifact.verify for artifact in built.artifacts] == [provisions.DIGEST] * 2


def test_the_same_files_give_the_same_bytes_and_a_check_says_nothing(place: pathlib.Path, run):
    run("lock", manifest(place))
    first = (place / "closures.lock").read_bytes()
    run("lock", manifest(place, "data: '${here}/file'", "app: '${here}/app'"))
    assert (place / "closures.lock").read_bytes() == first
    said = run("lock", manifest(place), "--check")
    assert (said.code, said.out) == (exit_codes.OK, [])


def test_a_check_tells_every_difference_and_writes_nothing(place: pathlib.Path, run):
    (place / "app" / "gone").write_text("x")
    (place / "app" / "mode").write_text("x")
    os.chmod(place / "app" / "mode", 0o644)
    run("lock", manifest(place, "app: '${here}/app'", "data: '${here}/file'", "old: '${here}/file'"))
    before = (place / "closures.lock").read_bytes()
    (place / "app" / "main").write_text("three")
    (place / "file").write_text("TWO")
    (place / "app" / "gone").unlink()
    (place / "app" / "new").write_text("x")
    (place / "app" / "sub" / "link").unlink()
    os.symlink("../new", place / "app" / "sub" / "link")
    os.chmod(place / "app" / "mode", 0o755)
    said = run("lock", manifest(place, "app: '${here}/app'", "data: '${here}/file'", "new: '${here}/file'"), "--check")
    assert said.code == exit_codes.USAGE_ERROR
    assert said.out == [
        "removed  app: ./app/gone",
        "changed  app: ./app/main (3 bytes, now 5)",
        "changed  app: ./app/mode (mode 0644, now 0755)",
        "added    app: ./app/new",
        "changed  app: ./app/sub/link (to ../main, now to ../new)",
        "changed  data: ./file (another content)",
        "added    artifact new",
        "removed  artifact old",
    ]
    assert (place / "closures.lock").read_bytes() == before


def test_a_check_without_a_lock_or_with_a_damaged_one_fails(place: pathlib.Path, run):
    said = run("lock", manifest(place), "--check")
    assert (said.code, said.out) == (exit_codes.USAGE_ERROR, [f"{place}/closures.lock is not there"])
    assert not (place / "closures.lock").exists()
    (place / "closures.lock").write_text("{}")
    said = run("lock", manifest(place), "--check")
    assert said.code == exit_codes.USAGE_ERROR
    assert said.out[0].startswith(f"{place}/closures.lock is damaged: ")
    assert run("lock", manifest(place)).code == exit_codes.OK  # what is damaged is written anew


def test_a_check_tells_what_vanished_and_what_cannot_be_locked_with_all_other_differences(place: pathlib.Path, run):
    artifacts = ("app: '${here}/app'", "data: '${here}/file'", "far: {path: '${here}/far', kind: tree}")
    (place / "far").mkdir()
    run("lock", manifest(place, *artifacts))
    (place / "app" / "main").write_text("three")
    (place / "file").unlink()
    os.mkfifo(place / "far" / "fifo")
    said = run("lock", manifest(place, *artifacts), "--check")
    assert said.code == exit_codes.USAGE_ERROR
    assert said.out == ["changed  app: ./app/main (3 bytes, now 5)", "removed  artifact data"]
    assert said.err == [
        f"bootseal: artifact data: {place}/file: No such file or directory (build it first, or say required: false)",
        f"bootseal: artifact far: {place}/far/fifo is a FIFO (remove it, or lock a folder without it)",
    ]
    (place / "file").write_text("two")
    (place / "app" / "main").write_text("one")
    said = run("lock", manifest(place, *artifacts), "--check")
    assert (said.code, said.out) == (exit_codes.USAGE_ERROR, []), "what cannot be locked is not as it was locked"


def test_many_problems_of_an_artifact_are_counted_and_each_that_is_told_has_a_remedy(place: pathlib.Path, run):
    for number in range(30):
        os.mkfifo(place / "app" / f"{number}")
    said = run("lock", manifest(place))
    assert (said.code, len(said.err)) == (exit_codes.GENERIC_FAILURE, 21)
    assert {line.rpartition(" (")[2] for line in said.err[:20]} == {"remove it, or lock a folder without it)"}
    assert said.err[20] == "bootseal: artifact app: and 10 more"


def test_the_compiler_takes_a_lock_that_is_to_be_written_for_one_that_fits(place: pathlib.Path):
    from entrypoint import locking

    (place / "closures.lock").write_text("{}")
    compiled = locking.load(
        manifest(place, "app: {path: '${here}/app', verify: metadata}", "data: '${here}/file'")
    ).plan
    assert compiled is not None
    assert [one.verify for one in compiled.artifacts] == [provisions.METADATA, provisions.DIGEST]


def test_many_differences_are_counted(place: pathlib.Path, run):
    run("lock", manifest(place))
    for number in range(80):
        (place / "app" / str(number)).write_text("")
    said = run("lock", manifest(place), "--check")
    assert (len(said.out), said.out[-1]) == (51, "and 30 more")


def test_the_problems_of_all_artifacts_are_told_and_nothing_is_written(place: pathlib.Path, run):
    os.mkfifo(place / "app" / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{place}/app/socket")
    path = manifest(
        place, "app: '${here}/app'", "gone: '${here}/gone'", "data: '${here}/file'", "node: {path: /etc, kind: node}"
    )
    said = run("lock", path)
    assert said.code == exit_codes.GENERIC_FAILURE
    remedy = "(correct `kind:`, or name the folder that holds package.json)"
    assert sorted(said.err) == [
        f"bootseal: artifact app: {place}/app/fifo is a FIFO (remove it, or lock a folder without it)",
        f"bootseal: artifact app: {place}/app/socket is a socket (remove it, or lock a folder without it)",
        f"bootseal: artifact gone: {place}/gone: No such file or directory (build it first, or say required: false)",
        f"bootseal: artifact node: /etc holds no package.json, and is no node package {remedy}",
    ]
    assert not (place / "closures.lock").exists()


def test_an_optional_artifact_that_is_not_there_is_left_out_with_a_note(place: pathlib.Path, run):
    path = manifest(place, "app: '${here}/app'", "gone: {path: '${here}/gone', required: false, verify: digest}")
    said = run("lock", path)
    assert said.code == exit_codes.OK
    assert said.err == [
        f"bootseal: artifact gone is optional and not here, so it is not locked: {place}/gone: No such file or directory"
    ]
    assert [one.id for one in lock.parse((place / "closures.lock").read_bytes(), "x").closures] == ["app"]
    assert run("build", path, "-o", f"{place}/out").code == exit_codes.OK


def test_what_is_left_to_its_presence_is_not_locked_and_all_else_is(place: pathlib.Path, run):
    path = manifest(
        place, "a: {path: /etc/hostname, verify: presence}", "b: {path: '${here}/file', verify: metadata}",
        "c: {path: '${here}/file', verify: digest}", "d: '${here}/file'",
    )  # fmt: skip
    assert run("lock", path).code == exit_codes.OK
    assert [one.id for one in lock.parse((place / "closures.lock").read_bytes(), "x").closures] == ["b", "c", "d"]


def test_a_manifest_with_errors_locks_nothing(place: pathlib.Path, run):
    path = manifest(place, "app: {path: '${here}/app', knid: tree}", "b: relative")
    said = run("lock", path)
    assert said.code == exit_codes.USAGE_ERROR
    assert len(said.err) == 2
    assert not (place / "closures.lock").exists()
    assert run("lock", f"{place}/none.yaml").code == exit_codes.USAGE_ERROR


def test_a_lock_that_would_lie_in_what_it_locks_is_refused(place: pathlib.Path, run):
    said = run("lock", manifest(place, "all: '${here}'"))
    assert said.code == exit_codes.GENERIC_FAILURE
    [line] = said.err
    why = "would lie in it, and a lock cannot hold its own digest"
    assert line.startswith(f"bootseal: artifact all: {place}/closures.lock {why} (")
    assert line.endswith(" (lock a folder beneath ${here}, not the one that holds the manifest)")
    os.symlink("app/sub", place / "other")
    said = run("lock", manifest(place / "other", f"app: {place}/app"))
    assert said.code == exit_codes.GENERIC_FAILURE
    assert not (place / "app" / "sub" / "closures.lock").exists()


def test_the_lock_has_one_place(place: pathlib.Path, run):
    assert run("lock", manifest(place), "-o", f"{place}/other").code == exit_codes.USAGE_ERROR
    assert not (place / "other").exists()


def test_a_place_that_cannot_be_written_is_named(place: pathlib.Path, run):
    os.mkdir(place / "closures.lock")
    said = run("lock", manifest(place))
    assert said.code == exit_codes.GENERIC_FAILURE
    [line] = said.err
    assert line.startswith(f"bootseal: lock {place}/closures.lock: it cannot be written: Is a directory")
    assert line.endswith("(it lies beside the manifest: make that writable)")


def test_no_name_of_a_file_reaches_the_terminal_raw(place: pathlib.Path, run):
    run("lock", manifest(place))
    for name in (b"\x1b[31m", b"\xff"):
        with open(os.fsencode(place / "app") + b"/" + name, "wb"):
            pass
    said = run("lock", manifest(place), "--check")
    assert said.out == ["added    app: ./app/\\x1b[31m", "added    app: ./app/\\udcff"]
    os.mkfifo(place / "app" / "\x1b[32m")
    assert run("lock", manifest(place)).err == [
        f"bootseal: artifact app: {place}/app/\\x1b[32m is a FIFO (remove it, or lock a folder without it)"
    ]


def test_a_lock_that_cannot_be_read_is_an_error(place: pathlib.Path):
    from entrypoint import locking

    os.mkdir(place / "closures.lock")
    with pytest.raises(errors.BootsealError):
        locking.differences(f"{place}/closures.lock", locking.expand((), str(place), f"{place}/closures.lock"))


def test_runtimes_are_told_also_where_an_override_is_set(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("BOOTSEAL_RUNTIMES", "cobol")
    said = run("runtimes")
    assert said.code == exit_codes.OK
    assert [line.split()[0] for line in said.out] == list(provisions.RUNTIMES)
    assert said.out[0].split()[-1] in {"/usr/bin/bash", "/bin/bash", "/usr/bin/sh", "/bin/sh"}
    said = run("runtimes", "--format", "json")
    from artifacts import runtimes

    assert "shell" in {one.name for one in runtimes.parse("\n".join(said.out).encode(), "x")}


def test_the_boot_path_of_a_command_loads_neither_subprocess_nor_the_elf_library():
    question = (
        "import sys; from artifacts import command, runtimes; "
        "runtimes.discover(['shell'], {'PATH': '/usr/bin:/bin'}); "
        "print(*[name for name in ('subprocess', 'ctypes', 'threading', 'elftools', 'selectors') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "\n"


def test_the_commands_are_called_as_their_modules():
    assert lock_command.lock.name == "lock"
    assert runtimes_command.runtimes.name == "runtimes"
