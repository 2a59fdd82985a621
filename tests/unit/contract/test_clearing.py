import os
import shutil
import subprocess
import sys

import pytest

from contract import clearing, errors
from tests.unit import children

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away, or mount one")


def clear(path) -> bool:
    return clearing.clear_path(str(path))


def test_nothing_is_nothing_to_clear(tmp_path):
    assert not clear(tmp_path / "missing")
    assert not clear(tmp_path / "no" / "where")


@pytest.mark.parametrize("kind", ["file", "fifo", "symlink to a file", "symlink to a directory", "dangling"])
def test_what_is_no_directory_is_unlinked_and_never_followed(tmp_path, kind):
    (tmp_path / "folder").mkdir(mode=0o755)
    (tmp_path / "folder" / "kept").write_text("x")
    path = tmp_path / "left"
    match kind:
        case "file":
            path.write_text("x")
            path.chmod(0)
        case "fifo":
            os.mkfifo(path)
        case "symlink to a file":
            path.symlink_to("folder/kept")
        case "symlink to a directory":
            path.symlink_to("folder")
        case _:
            path.symlink_to("nowhere")
    assert clear(path)
    assert os.listdir(tmp_path) == ["folder"]
    assert (tmp_path / "folder" / "kept").read_text() == "x"
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755


def test_a_directory_goes_whatever_the_modes_in_it_also_without_roots_rights(tmp_path):
    if os.geteuid() == 0:
        os.chown(tmp_path, children.NOBODY, children.NOBODY)

    def work() -> bool:
        os.chdir(tmp_path)
        os.makedirs("left/a/b/c")
        os.symlink("/", "left/a/root")
        with open("left/a/b/file", "w"):
            pass
        for path in ("left/a/b/file", "left/a/b/c", "left/a/b", "left/a", "left"):
            os.chmod(path, 0)
        return clear(tmp_path / "left") and os.listdir(".") == []

    assert children.run_as_nobody(work) == 0


@needs_root
def test_a_directory_of_somebody_else_is_refused_by_name_and_what_is_given_away_in_ours_goes(tmp_path):
    path = tmp_path / "left"
    (path / "inner").mkdir(parents=True)
    os.chown(path / "inner", 1001, 1001)
    os.chown(path, 1001, 1001)
    with pytest.raises(errors.UnsafePath, match=rf"{path}: it is owned by uid 1001 and this process is uid 0"):
        clear(path)
    assert (path / "inner").is_dir()
    os.chown(path, 0, 0)
    assert clear(path)
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_removed_is_named_with_its_cause(tmp_path, monkeypatch):
    (tmp_path / "left").mkdir()

    def refuse(*_arguments, **_keywords):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(errors.UnsafePath, match=r"left: it was left there and cannot be removed: Input/output error"):
        clear(tmp_path / "left")


@needs_root
def test_a_mount_stays_and_one_within_ends_the_clearing_untouched(tmp_path):
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    program = (
        "import sys; from contract import clearing, errors\n"
        "try: print(clearing.clear_path(sys.argv[1]))\n"
        "except errors.UnsafePath as error: print(error.why)"
    )
    script = """
        set -e
        mkdir -p top within/deep/mount
        mount -t tmpfs none top; mkdir top/x; touch top/x/file
        mount -t tmpfs none within/deep/mount; touch within/deep/mount/kept
        "$@" "$PWD/top"; echo "$(ls -A top):"
        "$@" "$PWD/within" || true; find within -name kept
        mkdir flat; mkdir flat/mount; mount -t tmpfs none flat/mount; touch flat/mount/kept
        "$@" "$PWD/flat"; ls flat/mount
    """
    command = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    if done.stderr.startswith("unshare"):
        pytest.skip(f"mount namespaces cannot be made here: {done.stderr.strip()}")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["True", ":"], done.stderr
    assert lines[2] == lines[4] == "it was left there and cannot be removed: Device or resource busy"
    assert lines[3].endswith("/kept")
    assert lines[5:] == ["kept"]
