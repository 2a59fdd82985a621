import os
import signal
import stat
import subprocess
import sys

import pytest

from contract import errors, process, rundir
from tests.unit import children


def test_a_missing_run_directory_is_made_and_left_empty(tmp_path):
    run = rundir.open_or_create(f"{tmp_path}/run/bootseal")
    assert os.listdir(run.path) == []
    assert stat.S_IMODE(os.stat(run.path).st_mode) == 0o755


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777, 0o722])
def test_a_run_directory_that_others_can_write_to_is_refused(tmp_path, mode):
    tmp_path.chmod(mode)
    with pytest.raises(errors.UnsafePath, match="lets group or others write"):
        rundir.open_or_create(str(tmp_path))


def test_a_directory_of_another_user_is_refused(tmp_path):
    with pytest.raises(errors.UnsafePath, match="is owned by uid"):
        rundir.judge_ownership("run directory", os.stat(tmp_path), os.geteuid() + 1)


def test_a_symlinked_run_directory_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink("real", tmp_path / "link")
    with pytest.raises(errors.UnsafePath, match="symlink"):
        rundir.open_or_create(f"{tmp_path}/link")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the container tests boot on a read-only root")
def test_a_run_directory_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(errors.UnsafePath, match="cannot be written"):
        rundir.open_or_create(str(tmp_path))


def test_what_a_boot_killed_while_it_tried_left_behind_does_not_stop_the_next_one(tmp_path, monkeypatch):
    """PID 1 is always pid 1: a probe named by pid would be found by every later boot."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", lambda *_arguments, **_keywords: None)
        rundir.open_or_create(str(tmp_path))
    assert os.listdir(tmp_path)
    assert rundir.open_or_create(str(tmp_path)).path == str(tmp_path)


def test_sockets_that_would_not_fit_are_refused_at_exactly_the_first_byte_too_many():
    fits = "/" + "x" * (107 - len("/supervisor.sock.4194304") - 1)
    rundir.check_socket_paths(fits)
    with pytest.raises(errors.UnsafePath, match=rf"108 bytes.*at most {len(fits)} bytes"):
        rundir.check_socket_paths(fits + "x")
    with pytest.raises(errors.UnsafePath):
        rundir.check_socket_paths(fits[:-1] + "é")


@pytest.mark.parametrize("kind", ["file", "symlink", "dangling", "fifo", "empty directory"])
def test_an_earlier_seal_is_removed_whatever_stands_in_its_place(tmp_path, kind):
    run = rundir.RunDirectory(str(tmp_path))
    (tmp_path / "kept").write_text("x")
    match kind:
        case "file":
            (tmp_path / "bootstrap.done").write_text("{}")
        case "symlink":
            os.symlink("kept", run.seal)
        case "dangling":
            os.symlink("nowhere", run.seal)
        case "fifo":
            os.mkfifo(run.seal)
        case _:
            os.mkdir(run.seal)
    assert rundir.remove_seal(run)
    assert os.listdir(tmp_path) == ["kept"]


def test_a_directory_with_content_in_the_seals_place_stops_no_boot(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    for path in (run.seal, run.attestation):
        os.makedirs(f"{path}/inner")
        os.chmod(path, 0)
    assert rundir.remove_seal(run)
    assert os.listdir(tmp_path) == []


def test_no_seal_is_no_error(tmp_path):
    assert not rundir.remove_seal(rundir.RunDirectory(str(tmp_path)))


def test_a_file_system_without_hard_links_is_refused(tmp_path, monkeypatch):
    """It would make supervisord try for ever to link its socket into place."""

    def refused(*_arguments, **_keywords):
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refused)
        with pytest.raises(errors.UnsafePath, match="no hard link"):
            rundir.open_or_create(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_sockets_and_pid_file_of_an_earlier_boot_are_removed_and_what_stays_in_their_place_is_named(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    rundir.remove_leftovers(run)
    (tmp_path / "supervisor.sock").touch()
    os.symlink("nowhere", run.ledger_socket)
    os.symlink("nowhere", run.supervisor_pidfile)
    rundir.remove_leftovers(run)
    assert os.listdir(tmp_path) == []
    for path in (run.supervisor_socket, run.ledger_socket, run.supervisor_pidfile):
        os.mkdir(path)
        with pytest.raises(errors.UnsafePath, match=f"{path}.*cannot be removed"):
            rundir.remove_leftovers(run)
        os.rmdir(path)


def test_every_name_lies_in_the_run_directory_under_a_name_of_its_own():
    run = rundir.RunDirectory("/run/x")
    names = [getattr(run, name) for name, kind in vars(rundir.RunDirectory).items() if isinstance(kind, property)]
    assert len(names) == len(set(names)) >= 10
    assert all(os.path.dirname(name) == "/run/x" for name in names)


def test_a_stop_while_it_is_tried_whether_files_can_be_made_leaves_none(tmp_path, monkeypatch):
    real = os.open

    def interrupted(path, flags, *arguments, **keywords):
        fd = real(path, flags, *arguments, **keywords)
        if flags & os.O_EXCL:
            os.close(fd)
            raise KeyboardInterrupt
        return fd

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rundir.open_or_create(str(tmp_path))
    assert os.listdir(tmp_path) == []


def claims(run: rundir.RunDirectory) -> bool:
    try:
        rundir.claim(run)
    except rundir.Taken:
        return False
    return True


def claim_of(pid: int, start: int, machine_boot: str | None = None) -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return f"{pid} {start} {machine_boot or file.read().strip()}\n"


def test_a_claim_names_its_process_and_can_be_made_again_by_it(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    rundir.claim(run)
    rundir.claim(run)
    with open(run.claim) as file:
        assert file.read() == claim_of(os.getpid(), process.start_time())
    assert stat.S_IMODE(os.stat(run.claim).st_mode) == 0o444
    assert os.listdir(tmp_path) == ["boot.claim"]


def test_a_claim_holds_over_execve_and_ends_with_its_process(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    program = (
        "import os, sys; from contract import rundir; rundir.claim(rundir.RunDirectory(sys.argv[1]));"
        "os.closerange(3, 100); os.execvp('sh', ['sh', '-c', 'echo ready; exec sleep 1000'])"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"ready\n"
        try:
            before = os.stat(run.claim)
            with pytest.raises(errors.UnsafePath, match=rf"belongs to the boot of process {first.pid}, which runs"):
                rundir.claim(run)
            after = os.stat(run.claim)  # which was read meanwhile: its atime may be another
            assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (
                before.st_ino,
                before.st_mtime_ns,
                before.st_mode,
            )
        finally:
            first.kill()
    rundir.claim(run)


@pytest.mark.parametrize("left", ["nothing", "stale", "garbage", "directory"])
def test_of_boots_that_race_for_a_run_directory_exactly_one_gets_it(tmp_path, left):
    run = rundir.RunDirectory(str(tmp_path))
    gone = children.start(lambda: True)
    assert children.ended(gone) == 0
    for _ in range(15):
        if os.path.lexists(run.claim):
            os.unlink(run.claim)
        match left:
            case "stale":
                (tmp_path / "boot.claim").write_text(claim_of(gone, 1))
            case "garbage":
                (tmp_path / "boot.claim").write_text("12 ")
            case "directory":
                os.makedirs(f"{run.claim}/a/b")
        start, go = os.pipe()
        answer, tell = os.pipe()

        def race(start=start, go=go, tell=tell) -> bool:
            os.close(go)
            os.read(start, 1)
            said = b"x"
            try:
                said = b"y" if claims(run) else b"n"
            finally:
                os.write(tell, said)
            signal.pause()  # a claim lasts as long as its process
            return True

        racers = [children.start(race) for _ in range(6)]
        os.close(go)
        answers = b"".join(os.read(answer, 1) for _ in racers)
        for pid in racers:
            os.kill(pid, signal.SIGKILL)
            children.ended(pid)
        for fd in (start, answer, tell):
            os.close(fd)
        assert sorted(answers) == sorted(b"ynnnnn")


def test_a_claim_of_another_start_or_another_boot_of_the_machine_or_of_no_sense_is_stale(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    reader, writer = os.pipe()
    other = children.start(lambda: (os.close(writer), os.read(reader, 1)))
    started = process.start_time(other)
    texts = {
        claim_of(other, started): False,
        claim_of(other, started + 1): True,
        claim_of(other, started, "0b1e7a32-0000-4000-8000-000000000000"): True,
        claim_of(os.getpid(), 1): True,
        f"{other}": True,
        "": True,
        "\0" * 1000: True,
    }
    for text, is_free in texts.items():
        with open(run.claim, "w") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
        assert claims(run) == is_free, text
        os.unlink(run.claim)
    os.close(writer)
    children.ended(other)


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory", "closed"])
def test_whatever_stands_in_the_claims_place_is_replaced_and_never_followed(tmp_path, kind):
    run = rundir.RunDirectory(str(tmp_path / "run"))
    os.mkdir(run.path)
    (tmp_path / "kept").write_text("x")
    match kind:
        case "symlink":
            os.symlink(tmp_path / "kept", run.claim)
        case "fifo":
            os.mkfifo(run.claim)
        case "directory":
            os.makedirs(f"{run.claim}/inner")
            os.chmod(run.claim, 0)
        case "closed":
            os.close(os.open(run.claim, os.O_CREAT, 0))
    rundir.claim(run)
    assert stat.S_ISREG(os.lstat(run.claim).st_mode)
    assert (tmp_path / "kept").read_text() == "x"
