import ctypes
import errno
import os
import select
import socket
import subprocess
import sys

import pytest

from contract import clock, errors
from supervisord import file_watch


class Heard:
    def __init__(self) -> None:
        self.map: dict = {}
        self.news: list[tuple[str, bool]] = []
        self.faults: list[str] = []
        self.files = file_watch.FileWatch(
            self.map, lambda *news: self.news.append(news), lambda where, error: self.faults.append(f"{where}: {error}")
        )

    def turn(self) -> None:
        """One turn of the loop in which no moment has come: only events are taken."""
        poller = select.poll()
        for fd, item in self.map.items():
            assert item.readable()
            assert not item.writable()
            poller.register(fd, select.POLLIN)
        for fd, _ in poller.poll(0):
            self.map[fd].handle_read_event()

    def is_woken(self) -> bool:
        poller = select.poll()
        for fd in self.map:
            poller.register(fd, select.POLLIN)
        return bool(poller.poll(0))

    def take(self) -> list[tuple[str, bool]]:
        self.turn()
        news, self.news = self.news, []
        return news

    def advance(self, seconds: float = 0.0) -> list[tuple[str, bool]]:
        """Let the next moment come, and ``seconds`` more."""
        self.files.advance((self.files.next_due() or clock.monotonic()) + seconds)
        news, self.news = self.news, []
        return news


@pytest.fixture
def heard():
    made = Heard()
    yield made
    made.files.close()
    assert made.faults == []


@pytest.fixture
def path(tmp_path):
    return f"{tmp_path}/ready"


def touch(path: str) -> None:
    with open(path, "a", encoding="ascii"):
        pass


def by_rename(path: str) -> None:
    touch(f"{path}.new")
    os.rename(f"{path}.new", path)


def by_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


@pytest.mark.parametrize(
    "make",
    [touch, by_rename, by_socket, os.mkdir, os.mkfifo, lambda path: os.symlink("/nowhere", path)],
    ids=["open", "rename", "socket", "mkdir", "mkfifo", "dangling-symlink"],
)
def test_a_file_that_comes_is_seen_by_an_event_however_it_is_made(heard, path, make):
    heard.files.arm("api", path)
    assert heard.files.next_due() is None, "no clock is needed"
    assert heard.take() == []
    make(path)
    assert heard.take() == [("api", True)]
    assert heard.take() == []


@pytest.mark.parametrize("remove", [os.unlink, lambda path: os.rename(path, f"{path}.old")], ids=["unlink", "rename"])
def test_a_file_that_goes_and_comes_back_is_seen(heard, path, remove):
    heard.files.arm("api", path)
    touch(path)
    assert heard.take() == [("api", True)]
    remove(path)
    assert heard.take() == [("api", False)]
    touch(path)
    assert heard.take() == [("api", True)]


def test_another_process_makes_it(heard, path):
    heard.files.arm("api", path)
    subprocess.run([sys.executable, "-c", f"open({path!r}, 'w')"], check=True)
    assert heard.take() == [("api", True)]


def test_one_that_is_replaced_at_once_was_never_away(heard, path):
    heard.files.arm("api", path)
    touch(path)
    heard.turn()
    by_rename(path)
    assert heard.take() == [("api", True)]


def test_other_files_of_its_directory_are_no_news(heard, path):
    heard.files.arm("api", path)
    touch(f"{path}y")
    touch(f"{os.path.dirname(path)}/other")
    assert heard.take() == []


@pytest.mark.parametrize("make", [touch, by_socket, os.mkfifo, lambda path: os.symlink("/etc/passwd", path)])
def test_what_an_earlier_process_left_is_removed(heard, path, make):
    make(path)
    heard.files.arm("api", path)
    assert not os.path.lexists(path)
    assert heard.take() == []
    assert os.path.exists("/etc/passwd")


def test_a_new_process_proves_itself_anew(heard, path):
    heard.files.arm("api", path)
    touch(path)
    heard.turn()
    heard.files.disarm("api")
    heard.files.arm("api", path)
    assert heard.take() == [("api", True)]
    touch(path)
    assert heard.take() == [("api", True)]


def test_what_is_made_right_after_the_removal_is_not_missed(heard, path, monkeypatch):
    remove = file_watch._remove
    monkeypatch.setattr(file_watch, "_remove", lambda path: (remove(path), touch(path)))
    heard.files.arm("api", path)
    assert heard.take() == [("api", True)]


def test_a_directory_is_refused_and_nothing_is_watched(heard, path):
    os.mkdir(path)
    with pytest.raises(errors.BootsealError, match="it is a directory"):
        heard.files.arm("api", path)
    touch(f"{path}/x")
    os.unlink(f"{path}/x")
    os.rmdir(path)
    touch(path)
    assert heard.take() == []
    assert heard.files.next_due() is None


def test_what_is_refused_is_no_longer_looked_after_and_wakes_nobody(heard, path):
    heard.files.arm("api", path)
    os.mkdir(path)
    with pytest.raises(errors.BootsealError):
        heard.files.arm("api", path)
    heard.turn()
    os.rmdir(path)
    touch(path)
    assert not heard.is_woken()
    heard.files.advance(clock.monotonic() + 60)
    assert heard.news == []


def test_a_file_that_cannot_be_removed_is_refused(heard, path, monkeypatch):
    touch(path)

    def refuse(_path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(errors.BootsealError, match="it cannot be removed: Permission denied"):
        heard.files.arm("api", path)
    assert heard.take() == []


def test_programs_share_a_directory_and_are_kept_apart(heard, tmp_path):
    heard.files.arm("one", f"{tmp_path}/1")
    heard.files.arm("two", f"{tmp_path}/./2")
    touch(f"{tmp_path}/2")
    assert heard.take() == [("two", True)]
    heard.files.disarm("two")
    assert not heard.is_woken(), "the watch of the directory stays"
    touch(f"{tmp_path}/1")
    assert heard.take() == [("one", True)]


def test_programs_may_share_a_file(heard, path):
    heard.files.arm("one", path)
    heard.files.arm("two", path)
    touch(path)
    assert sorted(heard.take()) == [("one", True), ("two", True)]


def test_after_the_end_of_a_process_its_directory_wakes_nobody(heard, path):
    heard.files.arm("api", path)
    heard.files.disarm("api")
    heard.turn()
    heard.turn()
    touch(path)
    assert not heard.is_woken()
    assert heard.files.next_due() is None


def test_a_directory_that_is_not_there_yet_is_looked_for_and_then_watched(heard, tmp_path):
    path = f"{tmp_path}/a/b/ready"
    before = clock.monotonic()
    heard.files.arm("api", path)
    assert before < heard.files.next_due() <= clock.monotonic() + file_watch.LOOK_SECONDS
    assert heard.advance() == []
    os.makedirs(os.path.dirname(path))
    touch(path)
    assert heard.take() == []
    assert heard.advance() == [("api", True)]
    assert heard.files.next_due() is None
    os.unlink(path)
    assert heard.take() == [("api", False)]


def test_it_is_looked_at_again_only_when_it_is_due(heard, tmp_path):
    heard.files.arm("api", f"{tmp_path}/a/ready")
    due = heard.files.next_due()
    os.mkdir(f"{tmp_path}/a")
    heard.files.advance(due - 0.001)
    assert heard.files.next_due() == due
    heard.files.advance(due)
    assert heard.files.next_due() is None


def test_a_file_where_the_directory_will_be_is_waited_for(heard, tmp_path):
    touch(f"{tmp_path}/a")
    heard.files.arm("api", f"{tmp_path}/a/ready")
    assert heard.advance() == []
    assert heard.files.next_due() is not None


@pytest.mark.parametrize("how", ["moved", "removed"])
def test_a_directory_that_goes_takes_its_file_along(heard, tmp_path, how):
    path = f"{tmp_path}/a/ready"
    os.mkdir(f"{tmp_path}/a")
    heard.files.arm("api", path)
    touch(path)
    assert heard.take() == [("api", True)]
    if how == "moved":
        os.rename(f"{tmp_path}/a", f"{tmp_path}/b")
    else:
        os.unlink(path)
        os.rmdir(f"{tmp_path}/a")
    assert heard.take() == [("api", False)]
    assert heard.files.next_due() is not None
    os.makedirs(f"{tmp_path}/a", exist_ok=True)
    touch(path)
    assert heard.advance() == [("api", True)]
    heard.turn()
    os.unlink(path)
    assert heard.take() == [("api", False)]
    assert heard.files.next_due() is None


def test_another_directory_in_the_place_of_the_old_is_watched_at_once(heard, tmp_path):
    path = f"{tmp_path}/a/ready"
    os.mkdir(f"{tmp_path}/a")
    heard.files.arm("api", path)
    os.rename(f"{tmp_path}/a", f"{tmp_path}/b")
    os.mkdir(f"{tmp_path}/a")
    touch(path)
    assert heard.take() == [("api", True)]
    touch(f"{tmp_path}/b/ready")
    os.unlink(f"{tmp_path}/b/ready")
    assert heard.take() == []
    os.unlink(path)
    assert heard.take() == [("api", False)]


def test_an_ancestor_that_was_renamed_is_noticed_by_the_look_in_between(heard, tmp_path):
    path = f"{tmp_path}/a/b/ready"
    os.makedirs(os.path.dirname(path))
    heard.files.arm("api", path)
    touch(path)
    assert heard.take() == [("api", True)]
    os.rename(f"{tmp_path}/a", f"{tmp_path}/c")
    assert heard.take() == [], "no event tells of it"
    assert heard.advance(file_watch.RELOOK_SECONDS + 1) == [("api", False)]


def test_events_that_were_lost_are_made_up_for(heard, path):
    heard.files.arm("api", path)
    with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as file:
        room = int(file.read())
    other = f"{path}.other"
    for _ in range(room // 2 + 1):
        touch(other)
        os.unlink(other)
    touch(path)
    for _ in range(room * 32 // file_watch._CHUNK + 3):
        heard.turn()
    assert heard.news == [("api", True)]


def test_one_turn_reads_a_bounded_piece(heard, path):
    heard.files.arm("api", path)
    other = f"{path}.other"
    for _ in range(2000):
        touch(other)
        os.unlink(other)
    touch(path)
    heard.turn()
    assert heard.news == []
    for _ in range(4):
        heard.turn()
    assert heard.news == [("api", True)]


class FailingLibrary:
    """The C library, but for one function that fails with EMFILE."""

    def __init__(self, function: str) -> None:
        self._function = function
        self._library = ctypes.CDLL(None, use_errno=True)

    def __getattr__(self, name):
        return self._fail if name == self._function else getattr(self._library, name)

    @staticmethod
    def _fail(*_):
        ctypes.set_errno(errno.EMFILE)
        return -1


@pytest.mark.parametrize("function", ["inotify_init1", "inotify_add_watch"])
def test_where_nothing_can_be_watched_the_file_is_looked_at_and_that_is_told_once(monkeypatch, path, function):
    library = FailingLibrary(function)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    heard = Heard()
    touch(path)
    heard.files.arm("api", path)
    assert not os.path.exists(path)
    assert heard.advance() == []
    touch(path)
    assert heard.advance() == [("api", True)]
    os.unlink(path)
    assert heard.advance() == [("api", False)]
    assert heard.files.next_due() is not None
    heard.files.disarm("api")
    assert heard.files.next_due() is None
    assert len(heard.faults) == 1
    assert "Too many open files" in heard.faults[0]
    heard.files.close()


def test_closing_leaves_nothing_open_and_says_nothing_any_more(path):
    before = len(os.listdir("/proc/self/fd"))
    heard = Heard()
    assert not any(os.get_inheritable(fd) for fd in heard.map)
    heard.files.arm("api", path)
    touch(path)
    heard.files.close()
    heard.files.close()
    heard.files.handle_read_event()
    heard.files.handle_write_event()
    heard.files.handle_error()
    heard.files.advance(clock.monotonic() + 10)
    assert not heard.files.readable()
    assert (heard.map, heard.news, heard.faults) == ({}, [], [])
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_exception_in_what_is_called_is_reported_and_does_not_leave(path):
    heard = Heard()
    heard.files._changed = lambda *_: 1 / 0
    heard.files.arm("api", path)
    touch(path)
    heard.turn()
    assert heard.faults == ["file watch: division by zero"]
    heard.files.close()
