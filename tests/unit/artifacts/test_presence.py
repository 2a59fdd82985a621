import os
import socket
import tempfile

import pytest

from artifacts import presence
from manifest import plan
from tests.unit import children


def reason(path: object, *, required: bool = True) -> str:
    [verdict] = presence.judge((plan.ArtifactPlan("x", str(path), required),))
    return verdict.reason


def test_a_readable_file_or_directory_is_there_also_through_a_link(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    os.symlink("file", tmp_path / "to-file")
    os.symlink(tmp_path, tmp_path / "to-directory")
    assert [reason(tmp_path / name) for name in ("", "file", "to-file", "to-directory")] == [""] * 4


def test_a_missing_path_is_missing_by_its_name(tmp_path):
    assert reason(tmp_path / "none") == f"{tmp_path}/none: No such file or directory"
    (tmp_path / "file").write_bytes(b"")
    assert reason(tmp_path / "file" / "inner") == f"{tmp_path}/file/inner: Not a directory"


def test_a_dangling_or_circular_link_is_missing_and_says_where_it_points(tmp_path):
    os.symlink("nowhere", tmp_path / "link")
    os.symlink("loop", tmp_path / "loop")
    assert reason(tmp_path / "link") == f"{tmp_path}/link is a link to nowhere: No such file or directory"
    assert reason(tmp_path / "loop").startswith(f"{tmp_path}/loop is a link to loop: ")


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_anything_else_is_no_artifact_and_is_never_opened(tmp_path, kind):
    path = str(tmp_path / "odd")
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            listener.bind(path)
        else:
            path = "/dev/null"
        assert reason(path) == f"{path} is neither a file nor a directory"


def test_what_cannot_be_read_or_entered_is_missing():
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        os.mkdir(f"{path}/closed", 0o600)
        with open(f"{path}/file", "wb"):
            os.chmod(f"{path}/file", 0)

        def work() -> bool:
            return (reason(f"{path}/file"), reason(f"{path}/closed")) == (
                f"{path}/file is not readable", f"{path}/closed cannot be listed",
            )  # fmt: skip

        assert children.run_as_nobody(work) == 0


def test_every_artifact_is_judged_in_order_required_or_not(tmp_path):
    artifacts = tuple(plan.ArtifactPlan(name, f"{tmp_path}/{name}", name != "b") for name in "abc")
    (tmp_path / "c").mkdir()
    verdicts = presence.judge(artifacts)
    assert tuple(verdict.artifact for verdict in verdicts) == artifacts
    assert [bool(verdict.reason) for verdict in verdicts] == [True, True, False]
