"""Reading what PID 1 keeps of programs' output: the newest lines, whatever number of pages they take, and what is lost meanwhile."""

import itertools

import pytest

from contract import output
from entrypoint import asking, recent_output, unknown
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
        self.boot_id = "one"
        self.chatter = 0

    def output(self, after: int, limit: int, _names: tuple[str, ...]) -> output.Output:
        self.asked.append((after, limit))
        self.lines += [line(self.lines[-1].seq + number) for number in range(1, self.chatter + 1)]
        room = min(limit, PAGE)
        last = self.lines[-1].seq if self.lines else 0
        if after == output.NEWEST:
            return output.Output(output.SCHEMA, self.boot_id, last, 0, tuple(self.lines[-room:]))
        after = after if after <= last else 0
        later = [one for one in self.lines if one.seq > after]
        dropped = max(0, later[0].seq - after - 1) if later else 0
        found = later[:room]
        reached = found[-1].seq if found else max(after, last)
        return output.Output(output.SCHEMA, self.boot_id, reached, dropped, tuple(found))


@pytest.fixture
def pid1(monkeypatch: pytest.MonkeyPatch) -> FakePid1:
    made = FakePid1(11, 210)
    monkeypatch.setattr(client, "Client", lambda _path: made)
    return made


@pytest.mark.parametrize("number", [1, 29, 30, 31, 100, 199, 200, 1000])
def test_the_newest_lines_are_as_many_as_were_asked_for_or_all_there_are(pid1: FakePid1, number: int) -> None:
    [read] = recent_output.Reader("socket", ("api",)).kept(number)
    assert [one.seq for one in read.lines] == [one.seq for one in pid1.lines[-number:]]
    assert read.next == 210


def test_what_fits_in_one_page_is_asked_for_once(pid1: FakePid1) -> None:
    list(recent_output.Reader("socket", ("api",)).kept(PAGE))
    assert pid1.asked == [(output.NEWEST, PAGE)]


def test_all_lines_are_read_page_after_page(pid1: FakePid1) -> None:
    pages = list(recent_output.Reader("socket", ()).kept(None))
    assert [one.seq for page in pages for one in page.lines] == list(range(11, 211))
    assert len(pages) > 1 and not any(page.dropped for page in pages), "what fell out before is nobody's loss"


@pytest.mark.parametrize("number", [None, 1000])
def test_what_programs_say_meanwhile_does_not_make_the_reading_endless(pid1: FakePid1, number: int | None) -> None:
    pid1.chatter = 2 * PAGE
    pages = list(itertools.islice(recent_output.Reader("socket", ()).kept(number), 100))
    seen = [one.seq for page in pages for one in page.lines]
    assert set(range(11, 211)) <= set(seen)
    assert len(seen) <= 200 + 5 * PAGE, "what there was when it began, and the rest of one page"


def test_a_page_is_given_before_the_next_one_is_asked_for(pid1: FakePid1) -> None:
    pid1.chatter = 2 * PAGE
    assert next(iter(recent_output.Reader("socket", ()).kept(None))).lines
    assert len(pid1.asked) == 2


def test_what_falls_out_while_all_is_read_is_counted(pid1: FakePid1) -> None:
    pages = recent_output.Reader("socket", ()).kept(None)
    assert next(pages).dropped == 0
    del pid1.lines[:100]
    assert next(pages).dropped == 70


def test_a_name_that_went_away_is_unknown_and_a_pid_1_that_ends_is_waited_for(
    pid1: FakePid1, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code, kind in ((10, unknown.Unknown), (client.SHUTDOWN_STATE, asking.NotThere)):
        refusal = client.Refused("output", "no", code)
        monkeypatch.setattr(pid1, "output", lambda *_, refusal=refusal: (_ for _ in ()).throw(refusal))
        with pytest.raises(kind):
            list(recent_output.Reader("socket", ("api",)).kept(1))


def test_no_lines_are_wanted_only_those_that_come(pid1: FakePid1) -> None:
    reader = recent_output.Reader("socket", ())
    assert next(reader.kept(0)).lines == ()
    pid1.lines.append(line(211))
    page = next(reader.follow())
    assert isinstance(page, output.Output)
    assert [one.seq for one in page.lines] == [211]


def test_what_fell_out_while_nobody_read_is_counted(pid1: FakePid1) -> None:
    reader = recent_output.Reader("socket", ())
    list(reader.kept(1))
    pid1.lines = [line(number) for number in range(301, 303)]
    page = next(reader.follow())
    assert isinstance(page, output.Output)
    assert (page.dropped, [one.seq for one in page.lines]) == (90, [301, 302])


@pytest.mark.parametrize("last", [5, 209, 210, 211, 1000])
def test_a_new_boot_is_followed_from_its_first_line_on_however_much_it_said_already(pid1: FakePid1, last: int) -> None:
    """Its numbers may have passed those of the boot before: they say nothing of each other."""

    def asleep(_seconds: float) -> None:
        raise AssertionError("it said more than was read")

    reader = recent_output.Reader("socket", (), asleep)
    list(reader.kept(1))
    pid1.boot_id, pid1.lines = "two", [line(number) for number in range(1, last + 1)]
    found = reader.follow()
    assert isinstance(next(found), recent_output.BeganAnew)
    seen: list[int] = []
    while len(seen) < last:
        page = next(found)
        assert isinstance(page, output.Output)
        assert page.dropped == 0
        seen += [one.seq for one in page.lines]
    assert seen == list(range(1, last + 1))


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
