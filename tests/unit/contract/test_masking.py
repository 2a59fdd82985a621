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


def test_a_value_that_is_too_short_would_hide_half_of_the_text():
    assert masking.secrets({"A_KEY": "", "B_KEY": "abc", "C_KEY": "abcd"}) == ("abcd",)


def test_the_longest_value_goes_first_so_that_none_leaves_its_rest():
    values = masking.secrets({"A_KEY": "abcd", "B_KEY": "abcdefgh"})
    assert values == ("abcdefgh", "abcd")
    assert masking.mask("abcdefgh abcd", values) == "*** ***"


def test_a_value_of_several_lines_is_hidden_line_by_line():
    """Last words are shown by lines, so the whole value never stands in one."""
    values = masking.secrets({"PRIVATE_KEY": "-----BEGIN-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n"})
    assert masking.mask("key: kqhkiG9w0BAQEF", values) == "key: ***"


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


@given(st.text(max_size=60), st.lists(st.text(min_size=4, max_size=12).filter(lambda one: "*" not in one), max_size=4))
def test_no_value_stands_in_masked_text(text, values):
    environment = {f"KEY_{number}": value for number, value in enumerate(values)}
    secret = masking.secrets(environment)
    for position, value in enumerate(secret):
        assert value not in masking.mask(text + value + text, secret[: position + 1]) or value in masking.SHOWN


@given(st.text(alphabet="a:/@ *\n", max_size=200))
def test_hiding_is_done_at_once(text):
    once = masking.mask(text)
    assert masking.mask(once) == once


def test_a_hostile_line_takes_no_time_to_speak_of():
    """No pattern backtracks over itself: the work is linear, so a megabyte is nothing."""
    for hostile in ("://:" * 50_000, "://" + "a:" * 100_000, "Bearer " * 50_000, "://a:" + "b" * 200_000):
        assert len(masking.mask(hostile)) <= len(hostile)


def test_declared_secrets_are_hidden_whatever_they_are_called_and_line_by_line():
    values = masking.parts(["abcd", "line one\nline two\n", "abc", ""])
    assert masking.mask("line two, abcd, abc", values) == "***, ***, abc"
    assert values == ("line one\nline two\n", "line one", "line two", "abcd")
