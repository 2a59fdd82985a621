import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import masking as masks
from contract import output
from supervisord import lines, output_store


def nothing(_program: str, text: str) -> str:
    return text


def block(data: bytes, pid: int = 7, *, begins_cut: bool = False, ends_cut: bool = False) -> lines.Block:
    return lines.Block(pid, data, begins_cut, ends_cut)


def ask(
    store: output_store.Store, after: int = 0, limit: int = 1000, names: tuple[str, ...] = (), hide=nothing
) -> output.Output:
    text = store.answer(after, limit, names, hide)
    assert len(text) <= output_store.ANSWER_BYTES + 6 * lines.LINE_LIMIT + 1000
    return output.parse(text.encode(), "answer")


def messages(answer: output.Output) -> list[str]:
    return [line.message for line in answer.lines]


def test_lines_are_numbered_over_all_programs_and_carry_who_said_them_when():
    store = output_store.Store(2)
    store.add("a", "stdout", 0.0, block(b"one\ntwo\n", 11))
    store.add("b", "stderr", 1.5, block(b"\xff\x1b[31m\n", 12))
    answer = ask(store)
    assert answer.lines == (
        output.Line(1, "1970-01-01T00:00:00.000Z", "a", "stdout", 11, "one", False),
        output.Line(2, "1970-01-01T00:00:00.000Z", "a", "stdout", 11, "two", False),
        output.Line(3, "1970-01-01T00:00:01.500Z", "b", "stderr", 12, "\ufffd\x1b[31m", False),
    )
    assert (answer.next, answer.dropped) == (3, 0)
    assert ask(store, 3) == output.Output(output.SCHEMA, "", 3, 0, ())


def test_an_answer_names_the_boot_whose_numbers_it_has():
    assert ask(output_store.Store(1, 'of "one"')).boot_id == 'of "one"'


def test_who_asks_again_gets_only_what_is_new_and_of_whom_he_asked():
    store = output_store.Store(2)
    for number in range(5):
        store.add("a", "stdout", 0.0, block(b"a%d\n" % number))
        store.add("b", "stdout", 0.0, block(b"b%d\n" % number))
    assert messages(ask(store, 4)) == ["a2", "b2", "a3", "b3", "a4", "b4"]
    assert messages(ask(store, 5, names=("b",))) == ["b2", "b3", "b4"]
    page = ask(store, 0, 3, ("b",))
    assert (messages(page), page.next) == (["b0", "b1", "b2"], 6)
    assert messages(ask(store, page.next, 3, ("b",))) == ["b3", "b4"]
    assert ask(store, page.next, 3, ("b",)).next == 10
    assert messages(ask(store, 0, 10, ("a", "b")))[:2] == ["a0", "b0"]


def test_the_middle_of_a_block_can_be_asked_for():
    store = output_store.Store(1)
    store.add("a", "stdout", 0.0, block(b"".join(b"%d\n" % number for number in range(1, 101))))
    for after in (0, 1, 31, 32, 33, 98, 99):
        assert messages(ask(store, after)) == [str(number) for number in range(after + 1, 101)]


def test_the_newest_lines_come_in_order():
    store = output_store.Store(2)
    for number in range(100):
        store.add("ab"[number % 2], "stdout", 0.0, block(b"%d\n" % number))
    answer = ask(store, output.NEWEST, 5)
    assert (messages(answer), answer.next, answer.dropped) == (["95", "96", "97", "98", "99"], 100, 0)
    assert messages(ask(store, output.NEWEST, 2, ("a",))) == ["96", "98"]
    assert len(ask(store, output.NEWEST, 1000).lines) == 100
    assert ask(output_store.Store(1), output.NEWEST, 5) == output.Output(output.SCHEMA, "", 0, 0, ())


def test_a_number_of_another_boot_begins_anew():
    store = output_store.Store(1)
    store.add("a", "stdout", 0.0, block(b"one\n"))
    assert messages(ask(store, 4711)) == ["one"]


def test_numbers_that_xml_rpc_cannot_carry_are_numbers():
    store = output_store.Store(1)
    store.last = 2**40
    store.add("a", "stdout", 0.0, block(b"one\n"))
    assert ask(store, 2**40).lines[0].seq == 2**40 + 1


def test_what_fell_out_is_counted_and_no_program_pushes_out_anothers_words():
    store = output_store.Store(2)
    store.add("quiet", "stderr", 0.0, block(b"the cause\n"))
    store.add("chatty", "stderr", 0.0, block(b"the other cause\n"))
    for number in range(10_000):
        store.add("chatty", "stdout", 0.0, block(b"%06d %s\n" % (number, b"x" * 93)))
    first = ask(store, 0)
    assert messages(first)[:2] == ["the cause", "the other cause"]
    kept, after = [], 0
    dropped = 0
    while (page := ask(store, after)).lines:
        kept += page.lines
        dropped += page.dropped
        after = page.next
    assert len(kept) + dropped == 10_002
    assert dropped > 9000
    assert [line.seq for line in kept[2:]] == list(range(kept[2].seq, 10_003))
    assert ask(store, 0, names=("quiet",)).dropped == 0
    assert ask(store, 0, names=("chatty",)).dropped == dropped
    assert ask(store, kept[2].seq - 1, names=("chatty",)).dropped == 0


@pytest.mark.parametrize("programs", [1, 33, 103, 503])
def test_memory_is_bounded_however_many_programs_say_however_much(programs):
    store = output_store.Store(programs)
    for said in (b"x\n", b"y" * 80 + b"\n", b"z\n" * 30_000, b"w" * 16_000 + b"\n"):
        for number in range(programs):
            for stream in ("stdout", "stderr"):
                for _ in range(3 if len(said) > 1000 else 50):
                    store.add(f"p{number}", stream, 0.0, block(said))
        assert store.size <= max(output_store.STORE_BYTES, 2 * programs * output_store.RING_LEAST_BYTES)


def test_a_line_that_is_longer_than_the_ring_keeps_its_beginning_and_says_that_it_was_cut():
    store = output_store.Store(2000)
    store.add("a", "stdout", 0.0, block(b"before\n" + b"x" * 10_000 + b"\n"))
    (line,) = ask(store).lines
    assert line.partial
    assert line.message.startswith("x" * 3000)
    assert (line.seq, ask(store).dropped) == (2, 1)


def test_a_line_that_is_longer_than_a_line_may_be_is_cut_where_it_is_shown():
    store = output_store.Store(1)
    store.add("probes", "stderr", 0.0, block(b"x" * 40_000 + b"\nshort\n"))
    long, short = ask(store).lines
    assert (long.partial, len(long.message)) == (True, lines.LINE_LIMIT - masks.MARGIN + len(masks.SHOWN))
    assert (short.partial, short.message) == (False, "short")


def test_an_answer_is_bounded_and_goes_on_where_it_ended():
    store = output_store.Store(1)
    for _ in range(4):
        store.add("a", "stdout", 0.0, block(b"\x01" * 16_000 + b"\n"))
    seen, after = 0, 0
    while (page := ask(store, after)).lines:
        assert len(page.lines) == 1
        seen, after = seen + 1, page.next
    assert seen == 4
    store = output_store.Store(1)
    store.add("a", "stdout", 0.0, block(b"\n" * 60_000))
    assert 100 < len(ask(store, 0, 10_000).lines) < 1000
    assert len(ask(store, output.NEWEST, 10_000).lines) < 1000
    assert ask(store, output.NEWEST, 10_000).lines[-1].seq == 60_000


# --- secrets ------------------------------------------------------------------------------------------------------


def hiding(*secrets: str):
    index = masks.Hidden(secrets)
    return lambda _program, text: masks.mask(text, index)


def test_a_secret_is_hidden_in_every_line_and_the_lines_stay_apart():
    store = output_store.Store(1)
    store.add("a", "stdout", 0.0, block(b"key hunter22sesame!\nnext\n"))
    assert messages(ask(store, hide=hiding("hunter22sesame"))) == ["key ***!", "next"]


def test_a_secret_of_several_lines_is_hidden_line_by_line_and_no_line_is_lost():
    secret = "-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END KEY-----\n"
    store = output_store.Store(1)
    store.add("a", "stdout", 0.0, block(b"before\n" + secret.encode() + b"after\n"))
    shown = messages(ask(store, hide=hiding(secret)))
    assert shown[0] == "before"
    assert shown[-1] == "after"
    assert len(shown) == 6
    assert not any(part in line for line in shown for part in ("abcdefgh", "qrstuvwx", "BEGIN KEY"))


def test_credentials_that_go_over_a_newline_take_no_line_away():
    store = output_store.Store(1)
    store.add("a", "stdout", 0.0, block(b"Authorization: Bearer\nabcdefgh\nthird\n"))
    assert len(messages(ask(store, hide=hiding()))) == 3


def test_where_secrets_cannot_be_read_no_line_is_shown():
    store = output_store.Store(1)
    store.add("a", "stdout", 0.0, block(b"one\ntwo\n"))
    store.add("a", "stdout", 0.0, block(b"three\n", begins_cut=True))
    assert messages(ask(store, hide=lambda _program, _text: masks.SHOWN)) == ["***", "***", "***"]


@given(
    st.integers(1, 40),
    st.sampled_from(["hunter22sesame", "h" * 20 + "é" * 20, "0123456789" * 3000]),
    st.integers(1, 50_000),
)
def test_wherever_a_line_is_cut_no_eight_characters_of_a_secret_are_in_an_answer(there, secret, size):
    data = (b"." * (lines.LINE_LIMIT - there)) + secret.encode() + b"." * 20 + b"\n"
    for programs in (1, 2000):
        store = output_store.Store(programs)
        splitter = lines.Splitter()
        for at in range(0, len(data), size):
            for one in splitter.take("a", "stdout", 7, data[at : at + size]):
                store.add("a", "stdout", 0.0, one)
        text = json.dumps(messages(ask(store, hide=hiding(secret))), ensure_ascii=False)
        joined = "".join(messages(ask(store, hide=hiding(secret))))
        assert not any(secret[at : at + 8] in text + joined for at in range(min(40, len(secret) - 7)))


@pytest.mark.parametrize("there", range(1, 14))
def test_a_secret_that_is_cut_in_two_where_a_line_grew_too_long_leaves_no_part_of_it(there):
    """Both halves may be too short to be recognised."""
    store = output_store.Store(1)
    data = b"." * (lines.LINE_LIMIT - there) + b"hunter22sesame" + b"." * 40 + b"\n"
    for one in lines.Splitter().take("a", "stdout", 7, data):
        store.add("a", "stdout", 0.0, one)
    before, behind = messages(ask(store, hide=hiding("hunter22sesame")))
    assert set(before) | set(behind) == set(".*")


@pytest.mark.parametrize("after", [0, output.NEWEST])
@pytest.mark.parametrize("line", [b"x" * 16_000 + b"\n", (b"x" * 999 + b"\n") * 60], ids=["long lines", "many lines"])
def test_what_is_masked_for_an_answer_is_bounded_however_little_of_it_is_shown(after, line):
    """Lines that are one secret are three bytes each in the answer: the whole store was masked for it, and PID 1 stood still."""
    store = output_store.Store(100)
    for program in range(100):
        store.add(f"p{program}", "stdout", 0.0, block(line))
    masked: list[int] = []

    def hide(_program: str, text: str) -> str:
        masked.append(len(text))
        return "\n".join([masks.SHOWN] * (text.count("\n") + 1))

    answer = ask(store, after, 10_000, hide=hide)
    assert answer.lines
    assert sum(masked) <= output_store.ANSWER_BYTES + 2 * lines.LINE_LIMIT
    assert max(masked) <= lines.LINE_LIMIT


def test_pages_that_are_bounded_by_what_was_masked_go_on_to_the_end():
    store = output_store.Store(100)
    for program in range(30):
        store.add(f"p{program}", "stdout", 0.0, block(b"x" * 15_000 + b"\n" + b"y\n" * 50))
    seen: list[int] = []
    page = ask(store, hide=lambda _program, text: "\n".join([masks.SHOWN] * (text.count("\n") + 1)))
    while page.lines:
        seen += [one.seq for one in page.lines]
        page = ask(store, page.next, hide=lambda _program, text: "\n".join([masks.SHOWN] * (text.count("\n") + 1)))
    assert seen == list(range(1, 30 * 51 + 1))


@pytest.mark.parametrize(
    ("before", "behind"), [(b" Authorization: Bearer ", b" and more"), (b" postgres://app:", b"@db:5432/x")]
)
@pytest.mark.parametrize("there", range(1, 64))
def test_a_token_and_a_password_in_a_url_are_hidden_where_a_line_is_cut(before, behind, there):
    """What recognises them needs both halves of them, and each answer has only one."""
    said = before + b"QWERTYUIOPASDFGHJKLZXCVBNM0123456789" + behind
    store = output_store.Store(1)
    for one in lines.Splitter().take(
        "a", "stdout", 7, b"." * (lines.LINE_LIMIT - there) + said + b" " + b"." * 40 + b"\n"
    ):
        store.add("a", "stdout", 0.0, one)
    shown = messages(ask(store, hide=hiding()))
    assert len(shown) == 2
    assert shown[0].endswith("***")
    assert shown[1].startswith("***")
    assert not any(
        part in one for one in shown for part in ("QWER", "TYUI", "OPAS", "DFGH", "JKLZ", "XCVB", "NM01", "6789")
    )


# --- against a list of everything that was ever said --------------------------------------------------------------


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["stdout", "stderr"]), st.integers(1, 60), st.integers(0, 900)), max_size=60),
    st.integers(0, 400),
    st.integers(1, 50),
    st.sampled_from([(), ("a",), ("b", "c")]),
)  # fmt: skip
def test_pages_hold_what_is_kept_in_order_and_count_what_is_gone(said, after, limit, names):
    store = output_store.Store(2000)
    everything = []
    for program, stream, count, width in said:
        texts = [f"{len(everything) + number} {'x' * width}" for number in range(1, count + 1)]
        everything += [(program, text) for text in texts]
        store.add(program, stream, 0.0, block(("\n".join(texts) + "\n").encode()))
    assert store.last == len(everything)
    begin = after if after <= len(everything) else 0
    asked, lost, at = [], 0, begin
    while True:
        page = ask(store, at, limit, names)
        asked += page.lines
        lost += page.dropped
        assert page.next >= at
        assert page.next == store.last or len(page.lines) == limit or len(page.lines) > 10
        if page.next == at or page.next == store.last:
            break
        at = page.next
    numbers = [line.seq for line in asked]
    assert numbers == sorted(set(numbers))
    assert all((line.program, line.message) == everything[line.seq - 1] for line in asked)
    wanted = [
        number for number in range(begin + 1, len(everything) + 1) if not names or everything[number - 1][0] in names
    ]
    gone = len(wanted) - len(numbers)
    assert set(numbers) <= set(wanted)
    if names:
        assert (lost > 0) == (gone > 0)
    else:
        assert lost == gone
    newest = ask(store, output.NEWEST, limit, names)
    kept = [line for line in asked if line.seq > begin]
    assert [line.seq for line in newest.lines][-len(kept) :] == [line.seq for line in kept][
        -len(newest.lines) :
    ] or not kept
