import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import masking


@pytest.mark.parametrize(
    "name",
    [
        "PASSWORD", "DB_PASS", "db_password", "MYSQL_PWD", "API_TOKEN", "CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY", "KEY",
        "SIGNING_KEY", "KEY_ID", "APIKEY", "CREDENTIALS", "PRIVATE_PEM", "BASIC_AUTH",
    ],
)  # fmt: skip
def test_a_variable_whose_name_speaks_of_a_secret_is_one(name):
    assert masking.secrets({name: "hunter22"}) == ("hunter22",)


@pytest.mark.parametrize("name", ["PATH", "LANG", "MONKEY", "KEYBOARD", "PWD", "OLDPWD", "HOME", "PORT"])
def test_another_variable_is_none(name):
    assert masking.secrets({name: "hunter22"}) == ()


def hidden(*values: str) -> masking.Hidden:
    return masking.Hidden(values)


def test_a_value_that_is_too_short_would_hide_half_of_the_text():
    assert masking.mask("abc abcd", hidden("", "abc", "abcd")) == "abc ***"
    assert masking.mask("abc abcd", masking.Hidden(words=("", "abc", "abcd"))) == "abc ***"


def test_a_value_within_another_leaves_nothing_of_it():
    assert masking.mask("abcdefgh abcd", hidden("abcd", "abcdefgh")) == "*** ***"
    assert masking.mask("xabcdefghy", hidden("abcd"), hidden("cdefghy!")) == "x***efghy"
    assert masking.mask("abcdefghijkl!", masking.Hidden(words=("abcdefghijkl",)), hidden("bcde")) == "***!"
    assert masking.mask("abcdefghij", masking.Hidden(words=("abcdefgh", "abcdefghij"))) == "***"


def test_a_value_of_several_lines_is_hidden_line_by_line():
    """Last words are shown by lines, so the whole value never stands in one."""
    pem = "-----BEGIN-----\nMIIEvQIBADANBg\n  abcd \nkqhkiG9w0BAQEF\n"
    for given_by in (hidden(pem), masking.Hidden(words=(pem,)), masking.suspected({"PRIVATE_KEY": pem})):
        assert masking.mask("key: kqhkiG9w0BAQEF, abcd", given_by) == "key: ***, ***"


@pytest.mark.parametrize(
    "text", ["    indented    text", "a" + " " * 20 + "b", "x\n\t\t\t\t\t\t\t\t\ty", " " * 9 + "}"]
)
def test_the_white_space_of_a_secret_hides_no_indent(text):
    secret = hidden("{\n    \n" + " " * 30 + "}\n" + "\t" * 12 + "\n}", "    ", " " * 20, "abc      ")
    assert masking.mask(text, secret) == text


def test_a_secret_that_is_mostly_white_space_is_hidden_where_it_stands_whole():
    assert masking.mask("is ab" + " " * 9 + "cd!", hidden("ab" + " " * 9 + "cd\n")) == "is ***!"


def test_of_a_path_and_a_url_in_the_environment_only_the_whole_is_hidden():
    """Every other path and URL begins as they do."""
    suspected = masking.suspected(
        {"KEY_FILE": "/run/secrets/key", "AUTH_URL": "https://auth/x", "TOKEN": "sesame-open-now"}
    )
    shown = masking.mask("/run/secrets/key /run/secrets/cert https://auth/x https://auth/y e-open-now", suspected)
    assert shown == "*** /run/secrets/cert *** https://auth/y ***"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgres://app:s3cr3t@db:5432/x", "postgres://app:***@db:5432/x"),
        ("redis://:s3cr3t@cache/0", "redis://:***@cache/0"),
        ("postgres://app:p@ss:w@db/x and http://u:v@h", "postgres://app:***@db/x and http://u:***@h"),
        ("http://localhost:8080/a@b", "http://localhost:8080/a@b"),
        ("http://user@host/", "http://user@host/"),
        ("Authorization: Bearer eyJhbGciOi.J9-_x=", "Authorization: Bearer ***"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic ***"),
        ("bearer of news", "bearer of news"),
        ("nothing to see", "nothing to see"),
        ("", ""),
    ],
)
def test_passwords_in_urls_and_credentials_are_hidden_whatever_the_environment(text, masked):
    assert masking.mask(text) == masked


SECRETS = st.lists(
    st.text(min_size=4, max_size=40).filter(lambda one: "*" not in one and len(one.strip().encode()) >= 4), max_size=4
)


def is_hidden(run: str) -> bool:
    """Whether eight characters of a secret are no mere indent."""
    return len(run.encode()[:8].strip()) >= 4 and "*" not in run


@given(st.text(max_size=60), SECRETS, st.booleans())
def test_no_value_stands_in_masked_text(text, values, as_words):
    index = masking.Hidden(words=values) if as_words else masking.Hidden(values)
    for value in values:
        assert value.strip() not in masking.mask(text + value + text, index)


@given(
    st.text(alphabet="ab1\u00e9\u4e2d\n -", min_size=8, max_size=60),
    st.text(max_size=30), st.text(max_size=30), st.integers(0, 60), st.integers(0, 60),
)  # fmt: skip
def test_wherever_a_secret_is_cut_no_eight_characters_of_it_are_shown(secret, before, behind, start, stop):
    shown = masking.mask(before + secret[start:stop] + behind, masking.Hidden([secret]))
    for at in range(len(secret) - 7):
        run = secret[at : at + 8]
        assert run not in shown or not is_hidden(run)


@given(
    st.text(alphabet="ab\u00e9 ", max_size=80),
    st.lists(st.text(alphabet="ab\u00e9 ", min_size=4, max_size=12), max_size=5),
)
def test_what_is_hidden_is_nothing_but_secrets(text, values):
    """Every span is eight bytes of a secret, or one of its short lines."""
    data = text.encode()
    for start, stop in masking.Hidden(values).spans(data):
        pieces = [data[start:stop]] if stop - start < 16 else [data[at : at + 8] for at in range(start, stop, 8)]
        assert all(any(piece in value.encode() for value in values) for piece in pieces)


def test_a_text_that_is_one_secret_is_a_few_spans():
    """Sixty thousand of them, a pair of numbers each, held up PID 1 longer than the rest of an answer."""
    secret = "".join(f"{number:05d}" for number in range(2000))
    assert 0 < len(list(hidden(secret).spans(secret.encode()))) <= 8
    assert masking.mask(secret, hidden(secret)) == "***"


class Counted(frozenset):
    """A set that counts how often it is asked."""

    asked = 0

    def __contains__(self, one: object) -> bool:
        Counted.asked += 1
        return super().__contains__(one)


def test_the_work_does_not_grow_with_the_secrets():
    """Four secrets of 64 KiB and of forty thousand lines held up PID 1 for 10 ms a line."""
    text = "something happened here 00001 34 56 " * 20

    def asked(lines: int) -> int:
        index = masking.Hidden("\n".join(f"{number:05d}" for number in range(lines)) for _ in range(4))
        index._windows = Counted(index._windows)
        index._short = {length: Counted(pieces) for length, pieces in index._short.items()}
        index._heads = Counted(index._heads)
        Counted.asked = 0
        masking.mask(text, index)
        return Counted.asked

    assert 0 < asked(10_000) <= 2 * asked(10) <= 10 * len(text)


@given(st.text(alphabet="a:/@ *\n", max_size=200))
def test_hiding_is_done_at_once(text):
    once = masking.mask(text)
    assert masking.mask(once) == once


# --- where a line was cut ------------------------------------------------------------------------------------------

CUT = {
    "a token": ("then: authorization: bearer ", "QWERTYUIOP.ASDF-GHJKL_ZXC", " behind"),
    "a token behind a gap": ("basic   \t ", "QWERTYUIOPASDFGHJKLZ==", ", behind it"),
    "a short token": ("a b c basic ", "QWER", " d"),
    "the password of a URL": ("at postgres://app:", "QWERTY@UIOP:ASDFGHJKLZXC", "@db:5432/x is behind"),
    "a password that ends the line": ("at redis://:", "QWERTYUIOPASDFGHJKLZXC", "@db"),
}


@pytest.mark.parametrize(("before", "secret", "behind"), CUT.values(), ids=CUT)
@pytest.mark.parametrize("size", [1, 2])
def test_wherever_a_line_is_cut_nothing_of_what_the_net_catches_is_left(before, secret, behind, size):
    """The net needs both halves: the word and the credentials, the ``@`` and what goes before it. ``size`` cuts are made."""
    secret = secret if size == 1 else secret.replace("ASDF", "ASDF" * 20)
    line = "." * 30 + " " + before + secret + behind + " " + "." * 30
    for first in range(1, len(line)):
        for second in [len(line)] if size == 1 else range(first + 1, len(line) + 1, 3):
            pieces = [(line[:first], False), (line[first:second], True), (line[second:], True)]
            shown = [
                masking.trimmed(masking.mask(piece), begins_cut=begins_cut, ends_cut=behind != "")
                for (piece, begins_cut), behind in zip(pieces, [*(one for one, _ in pieces[1:]), ""], strict=True)
            ]
            assert not any("A" <= letter <= "Z" for letter in "".join(shown)), (first, second, shown)


def test_of_a_cut_line_that_holds_no_secret_little_is_taken():
    line = json.dumps({f"key-{number}": ["a:b", number] for number in range(400)}, separators=(",", ":"))
    shown = masking.trimmed(line, begins_cut=True, ends_cut=True)
    assert shown in line
    assert len(shown) == len(line) - 2 * masking.MARGIN


def test_of_a_line_that_may_be_all_secret_nothing_is_left():
    for line in ("Q" * 100, "Q@" * 50, "", "Q"):
        assert masking.trimmed(line, begins_cut=True, ends_cut=True) == ""
    assert masking.trimmed("whole", begins_cut=False, ends_cut=False) == "whole"


def test_a_hostile_line_takes_no_time_to_speak_of():
    """No pattern backtracks over itself: the work is linear, so a megabyte is nothing."""
    secret = masking.Hidden(["a:" * 30_000], ["://:" * 9000, "://:" * 8999 + "x"])
    for hostile in ("://:" * 50_000, "://" + "a:" * 100_000, "Bearer " * 50_000, "://a:" + "b" * 200_000):
        assert len(masking.mask(hostile)) <= len(hostile)
        assert len(masking.mask(hostile, secret)) <= len(hostile)
        assert len(masking.trimmed(hostile, begins_cut=True, ends_cut=True)) <= len(hostile)
