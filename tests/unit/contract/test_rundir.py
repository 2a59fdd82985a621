import os
import stat

import pytest

from contract import errors, rundir


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


def test_a_directory_with_content_in_the_seals_place_is_an_error_and_never_a_seal(tmp_path):
    run = rundir.RunDirectory(str(tmp_path))
    os.makedirs(f"{run.seal}/inner")
    with pytest.raises(OSError, match="not empty"):
        rundir.remove_seal(run)


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
