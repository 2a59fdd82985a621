"""Reading what PID 1 keeps of programs' output: the newest lines, whatever number of pages they take, and what is lost meanwhile."""

import pytest

from contract import output
from entrypoint import asking, recent_output
from supervisord import client

PAGE = 30
"""How many lines one answer holds here: the real one is bounded by bytes."""


def line(number: int) -> output.Line:
    return output.Line(number, "2026-01-01T00:00:00.000Z", "api", "stdout", 7, f"line {number}", False)


class FakePid1:
    """Keeps ``lines``, and answers as ``bootseal.output`` does; ``asked`` are the questions."""

    def __init__(self, first: int, last: int) -> None:
        self.lines = [line(number) for number in range(first, last + 1)]
        self.asked: list[tuple[int, int]] = []

    def output(self, after: int, limit: int, _names: tuple[str, ...]) -> output.Output:
        self.asked.append((after, limit))
        room = min(limit, PAGE)
        last = self.lines[-1].seq if self.lines else 0
        if after == output.NEWEST:
            return output.Output(output.SCHEMA, last, 0, tuple(self.lines[-room:]))
        later = [one for one in self.lines if one.seq > after]
        dropped = max(0, later[0].seq - after - 1) if later else 0
        found = later[:room]
        return output.Output(output.SCHEMA, found[-1].seq if found else max(after, last), dropped, tuple(found))


@pytest.fixture
def pid1(monkeypatch: pytest.MonkeyPatch) -> FakePid1:
    made = FakePid1(11, 210)
    monkeypatch.setattr(client, "Client", lambda _path: made)
    return made


@pytest.mark.parametrize("number", [1, 29, 30, 31, 100, 199, 200, 1000])
def test_the_newest_lines_are_as_many_as_were_asked_for_or_all_there_are(pid1: FakePid1, number: int) -> None:
    read = recent_output.Reader("socket", ("api",)).newest(number)
    assert [one.seq for one in read.lines] == [one.seq for one in pid1.lines[-number:]]
    assert read.next == 210


def test_what_fits_in_one_page_is_asked_for_once(pid1: FakePid1) -> None:
    recent_output.Reader("socket", ("api",)).newest(PAGE)
    assert pid1.asked == [(output.NEWEST, PAGE)]


def test_all_lines_are_read_page_after_page(pid1: FakePid1) -> None:
    assert [one.seq for one in recent_output.Reader("socket", ()).newest(None).lines] == list(range(11, 211))


def test_no_lines_are_wanted_only_those_that_come(pid1: FakePid1) -> None:
    reader = recent_output.Reader("socket", ())
    assert reader.newest(0).lines == ()
    pid1.lines.append(line(211))
    page = next(reader.follow())
    assert isinstance(page, output.Output)
    assert [one.seq for one in page.lines] == [211]


def test_what_fell_out_while_nobody_read_is_counted(pid1: FakePid1) -> None:
    reader = recent_output.Reader("socket", ())
    reader.newest(1)
    pid1.lines = [line(number) for number in range(301, 303)]
    page = next(reader.follow())
    assert isinstance(page, output.Output)
    assert (page.dropped, [one.seq for one in page.lines]) == (90, [301, 302])


def test_that_nobody_answers_is_told_once_and_then_it_goes_on(pid1: FakePid1, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[object] = [client.Unreachable("s", "no"), client.Unreachable("s", "no"), None]
    ask = pid1.output

    def output_or_not(*arguments: object) -> output.Output:
        if (trouble := answers.pop(0)) is not None:
            raise trouble  # type: ignore[misc]
        return ask(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pid1, "output", output_or_not)
    pages = recent_output.Reader("socket", (), sleep=lambda _seconds: None).follow()
    assert isinstance(next(pages), asking.NotThere)
    assert isinstance(next(pages), output.Output)
