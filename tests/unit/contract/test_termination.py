import os

from contract import termination


def test_the_cause_is_written_where_the_file_is(tmp_path):
    path = tmp_path / "log"
    path.write_text("an earlier and longer cause")
    assert termination.write("the cause", str(path))
    assert path.read_text() == "the cause"


def test_the_file_is_never_made(tmp_path):
    assert not termination.write("the cause", str(tmp_path / "log"))
    assert os.listdir(tmp_path) == []


def test_a_long_cause_is_cut_to_what_the_kubelet_reads(tmp_path):
    path = tmp_path / "log"
    path.write_text("")
    assert termination.write("é" * 5000, str(path))
    assert path.stat().st_size == 4096


def test_a_link_a_directory_or_a_fifo_without_reader_is_left_alone(tmp_path):
    (tmp_path / "real").write_text("kept")
    os.symlink("real", tmp_path / "link")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo", "."):
        assert not termination.write("x", str(tmp_path / name))
    assert (tmp_path / "real").read_text() == "kept"


def test_text_that_cannot_be_encoded_is_written_all_the_same(tmp_path):
    path = tmp_path / "log"
    path.write_text("")
    assert termination.write("\ud800 cause", str(path))
    assert path.read_text() == "? cause"
