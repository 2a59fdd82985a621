import json
import os
import re
import resource
import select
from pathlib import Path

import pytest

from contract import events


def lines(path) -> list[dict]:
    with open(path, "rb") as file:
        data = file.read()
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


class Sink:
    """Takes lines, or refuses them."""

    def __init__(self) -> None:
        self.taken: list[dict] = []
        self.takes = True

    def __call__(self, data: bytes) -> bool:
        assert data.endswith(b"\n") and data.count(b"\n") == 1
        if self.takes:
            self.taken.append(json.loads(data))
        return self.takes


def started(work, *arguments) -> int:
    """Run ``work`` in a forked child, which exits 0 when it returned true; return its pid."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = 0 if work(*arguments) else 1
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_an_event_has_its_envelope_in_order_and_its_own_fields(tmp_path):
    sink = Sink()
    emitter = events.Emitter("seal", "b00t", str(tmp_path / "log"), sink)
    emitter.emit("ProgramReady", program="api", pid=7)
    [line] = sink.taken
    assert list(line) == ["time", "level", "event", "stage", "boot_id", "source", "seq", "program", "pid"]
    assert line["level"] == "info"
    assert (line["stage"], line["boot_id"], line["source"], line["seq"]) == ("bootstrap", "b00t", "seal", 1)
    assert lines(tmp_path / "log") == [line]


def test_an_unknown_event_is_a_programming_error():
    with pytest.raises(KeyError):
        events.Emitter("x", "", None, Sink()).emit("NoSuchEvent")


def test_seq_counts_per_source_without_a_gap():
    first, second = Sink(), Sink()
    a, b = events.Emitter("a", "", None, first), events.Emitter("b", "", None, second)
    for _ in range(3):
        a.emit("ProgramStarted")
    b.emit("ProgramStarted")
    assert [line["seq"] for line in first.taken] == [1, 2, 3]
    assert [line["seq"] for line in second.taken] == [1]


def test_what_was_emitted_before_there_was_a_file_comes_first_in_it(tmp_path):
    emitter = events.Emitter("a", "", None, Sink())
    emitter.emit("BootstrapStarted")
    emitter.emit("PhaseStarted")
    emitter.attach(str(tmp_path / "log"))
    emitter.emit("PhaseCompleted")
    assert [line["event"] for line in lines(tmp_path / "log")] == ["BootstrapStarted", "PhaseStarted", "PhaseCompleted"]


def test_what_is_refused_is_counted_and_the_next_event_that_is_taken_says_so(tmp_path):
    sink = Sink()
    emitter = events.Emitter("a", "", str(tmp_path / "log"), sink)
    sink.takes = False
    emitter.emit("ProgramStarted")
    emitter.emit("ProgramStarted")
    sink.takes = True
    emitter.emit("ProgramReady")
    emitter.emit("ProgramReady")
    assert [(line["seq"], line.get("dropped")) for line in sink.taken] == [(3, 2), (4, None)]


@pytest.mark.parametrize("place", ["directory", "missing folder", "fifo", "symlink"])
def test_a_file_that_cannot_be_written_never_raises_and_is_counted(tmp_path, place):
    path = tmp_path / "log"
    match place:
        case "directory":
            path.mkdir()
        case "missing folder":
            path = tmp_path / "no" / "log"
        case "fifo":
            os.mkfifo(path)
        case _:
            os.symlink(tmp_path / "elsewhere", path)
    sink = Sink()
    emitter = events.Emitter("a", "", str(path), sink)
    emitter.emit("ProgramStarted")
    emitter.emit("ProgramReady")
    assert [line.get("dropped") for line in sink.taken] == [None, 1]
    assert not (tmp_path / "elsewhere").exists()


def test_a_fifo_in_the_files_place_is_no_file_also_when_somebody_reads_it(tmp_path):
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert not events.append(str(tmp_path / "log"), b"{}\n")
    finally:
        os.close(reader)


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), "\ud800", float("nan"), {(1, 2): 3}])
def test_a_value_that_json_does_not_know_never_raises(value):
    sink = Sink()
    events.Emitter("a", "", None, sink).emit("ProgramStarted", value=value)
    [line] = sink.taken
    assert "value" in line or line["unprintable"] == ["value"]


def test_a_value_that_holds_itself_never_raises():
    sink, value = Sink(), []
    value.append(value)
    events.Emitter("a", "", None, sink).emit("ProgramStarted", value=value)
    assert sink.taken[0]["unprintable"] == ["value"]


def test_the_log_is_bounded_by_two_files(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "FILE_LIMIT", 10_000)
    emitter = events.Emitter("a", "", str(tmp_path / "log"), Sink())
    for number in range(500):
        emitter.emit("ProgramStarted", number=number)
        assert sum(entry.stat().st_size for entry in os.scandir(tmp_path)) < 2 * 10_000 + 2 * 300
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1"]
    numbers = [line["number"] for line in [*lines(tmp_path / "log.1"), *(lines(tmp_path / "log"))]]
    assert numbers == list(range(numbers[0], 500))


def test_a_rotation_that_fails_loses_no_line_and_counts_none(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "FILE_LIMIT", 100)
    (tmp_path / "log.1").mkdir()
    sink = Sink()
    emitter = events.Emitter("a", "", str(tmp_path / "log"), sink)
    for _ in range(5):
        emitter.emit("ProgramStarted")
    assert len(lines(tmp_path / "log")) == 5
    assert all("dropped" not in line for line in sink.taken)


def test_a_process_that_comes_too_late_with_the_old_file_does_not_move_the_new_one_away(tmp_path):
    path = str(tmp_path / "log")
    events.append(path, b'{"seq": 1}\n')
    old = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.rename(path, f"{path}.1")
        events.append(path, b'{"seq": 2}\n')
        events._rotate(path, old)
    finally:
        os.close(old)
    assert (lines(f"{path}.1"), lines(path)) == ([{"seq": 1}], [{"seq": 2}])


def test_a_line_written_to_a_file_that_two_rotations_took_away_counts_as_dropped(tmp_path, monkeypatch):
    path = str(tmp_path / "log")
    write = os.write

    def too_late(fd, data):
        for _ in range(2):
            os.rename(path, f"{path}.1")
            (tmp_path / "log").touch()
        return write(fd, data)

    monkeypatch.setattr(os, "write", too_late)
    assert events.append(path, b'{"seq": 1}\n') is False


def test_lines_of_several_processes_never_mix_and_none_is_lost_over_a_rotation(tmp_path, monkeypatch):
    path = str(tmp_path / "log")
    monkeypatch.setattr(events, "FILE_LIMIT", 400_000)
    sizes = (10, 1000, 5000)

    def write(source: str) -> bool:
        emitter = events.Emitter(source, "", path, lambda _data: True)
        for number in range(60):
            emitter.emit("ProgramStarted", filler=source * sizes[number % 3])
        return emitter._dropped == 0

    writers = {source: started(write, source) for source in "abcd"}
    assert {source: ended(pid) for source, pid in writers.items()} == dict.fromkeys("abcd", 0)
    found: dict[str, list[int]] = {}
    for name in ("log.1", "log"):
        for line in lines(tmp_path / name):
            assert line["filler"].strip(line["source"]) == ""
            found.setdefault(line["source"], []).append(line["seq"])
    assert found == {source: list(range(1, 61)) for source in "abcd"}


def test_a_full_disk_drops_whole_lines_and_never_raises(tmp_path):
    path = str(tmp_path / "log")

    def fill() -> bool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        emitter = events.Emitter("a", "", path, lambda _data: True)
        for _ in range(50):
            emitter.emit("ProgramStarted", filler="x" * 20)
        return emitter._dropped > 40

    assert ended(started(fill)) == 0
    kept = lines(path)
    assert 1 <= len(kept) <= 8
    assert events.append(path, b'{"seq": 0}\n')
    assert lines(path) == [*kept, {"seq": 0}]


def with_stderr(descriptor: int | None, work) -> int:
    """Run ``work`` in a child whose stderr is ``descriptor``, or closed."""

    def prepared() -> bool:
        if descriptor is None:
            os.close(2)
        else:
            os.dup2(descriptor, 2)
        return work()

    return ended(started(prepared))


def test_a_closed_stderr_never_raises_and_is_counted():
    def work() -> bool:
        emitter = events.Emitter("a", "", None)
        emitter.emit("ProgramStarted")
        emitter.emit("ProgramStarted")
        return emitter._dropped == 2

    assert with_stderr(None, work) == 0


def test_a_stderr_without_reader_never_raises_and_is_counted():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert with_stderr(writer, lambda: not events.write_to_stderr(b"x\n")) == 0
    finally:
        os.close(writer)


@pytest.mark.parametrize("size", [100, 4096, 5000, 200_000])
def test_a_stderr_that_nobody_reads_never_blocks_whatever_the_length_of_the_line(size):
    """After POLLOUT a pipe takes 4096 bytes; a longer write would wait for a reader for ever."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 2)
        while events.write_to_stderr(b"x" * (size - 1) + b"\n"):
            pass
        os._exit(0)
    os.close(writer)
    try:
        waiter = os.pidfd_open(child)
        poller = select.poll()
        poller.register(waiter, select.POLLIN)
        ended = bool(poller.poll(20_000))
        os.close(waiter)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(reader)
    assert ended


def test_a_long_line_reaches_a_reader_whole():
    reader, writer = os.pipe()
    line = b'{"filler": "' + b"x" * 100_000 + b'"}\n'
    child = os.fork()
    if child == 0:
        os.dup2(writer, 2)
        os._exit(0 if events.write_to_stderr(line) else 1)
    os.close(writer)
    with open(reader, "rb") as file:
        assert file.read() == line
    assert os.waitpid(child, 0)[1] == 0


def test_every_event_stands_in_the_documentation_with_its_level():
    text = (Path(__file__).parents[3] / "docs" / "boot.md").read_text()
    table = text[text.index("## Events") :]
    told: dict[str, str] = {}
    for row in re.findall(r"^\| (`[A-Z].*?) \| ([a-z, ]+) \|", table, re.MULTILINE):
        names = re.findall(r"`([A-Za-z]+)`", row[0])
        levels = row[1].split(", ")
        told |= dict(zip(names, levels * len(names) if len(levels) == 1 else levels, strict=False))
    assert told == events.LEVELS
