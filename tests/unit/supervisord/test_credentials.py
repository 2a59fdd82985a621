"""Secrets from the run directory: who gets what, what is hidden, and what happens when one is gone."""

import os

import pytest

from contract import errors, files, rundir
from supervisord import credentials
from tests.unit import boots

KEY, PEM = b"hunter2-hunter2", b"-----BEGIN-----\nMIIEvQIBADANBg\n-----END-----\n"


@pytest.fixture
def run(tmp_path):
    return rundir.open_or_create(f"{tmp_path}/run")


def delivered(run, *secrets, **values) -> credentials.Credentials:
    """Put ``values`` where Stage A puts them."""
    for secret in secrets:
        for folder in (credentials.values_directory(run), *map(run.secrets_of, secret.programs)):
            os.makedirs(folder, exist_ok=True)
            files.write_atomically(f"{folder}/{secret.name}", values[secret.name], 0o400)
    return credentials.Credentials(secrets, run)


def test_a_program_gets_its_variables_and_where_its_files_are_and_nothing_of_others(run):
    one = boots.secret("one", "api", "worker", environment="ONE")
    two = boots.secret("two", "api")
    three = boots.secret("three", "web", environment="THREE")
    given = delivered(run, one, two, three, one=KEY, two=b"2", three=b"3")
    assert given.environment("api") == {"ONE": KEY.decode(), "CREDENTIALS_DIRECTORY": run.secrets_of("api")}
    assert given.environment("worker") == {"ONE": KEY.decode(), "CREDENTIALS_DIRECTORY": run.secrets_of("worker")}
    assert given.environment("web") == {"THREE": "3", "CREDENTIALS_DIRECTORY": run.secrets_of("web")}
    assert given.environment("other") == {}


@pytest.mark.parametrize(
    ("source", "data", "value"),
    [
        ({"file": "/x"}, b"word\n", "word"),
        ({"mounted": "/x"}, b"word\n\n", "word\n"),
        ({"file": "/x"}, b"two\nlines", "two\nlines"),
        ({"variable": "X"}, b"word\n", "word\n"),
        ({"generate_bytes": 2}, b"abcd", "abcd"),
        ({"file": "/x"}, b"\xff\xfe", "\udcff\udcfe"),
    ],
)
def test_the_variable_is_the_file_without_the_newline_that_an_editor_ends_it_with(source, data, value):
    secret = boots.secret("one", **{"generate_bytes": None, **source})
    assert credentials.as_variable(secret, data) == value
    assert os.fsencode(value) in {data, data.removesuffix(b"\n")}


@pytest.mark.parametrize("fault", ["gone", "empty", "a directory", "a symlink", "too long"])
def test_a_secret_that_cannot_be_read_is_named_and_is_never_left_out(run, fault):
    given = delivered(run, boots.secret("one", "api", environment="ONE"), one=KEY)
    for path in (f"{credentials.values_directory(run)}/one", f"{run.secrets_of('api')}/one"):
        os.unlink(path)
        if fault == "empty":
            open(path, "w").close()
        elif fault == "a directory":
            os.mkdir(path)
        elif fault == "a symlink":
            os.symlink("/etc/hostname", path)
        elif fault == "too long":
            files.write_atomically(path, b"x" * (credentials.LIMIT + 1), 0o400)
    for act in (given.environment, given.check_files):
        with pytest.raises(errors.BootsealError, match=r"^secret one: .*/secrets/.*one: ") as caught:
            act("api")
        assert "hunter2" not in str(caught.value)
    with pytest.raises(errors.BootsealError, match="secret one"):
        given.hidden()
    assert given.environment("web") == {}


def hide_of(given, environments=None):
    reports: list[tuple[str, Exception]] = []
    hide = credentials.hiding(given, environments or {"api": {}, "web": {}}, lambda *report: reports.append(report))
    return hide, reports


def test_every_program_is_kept_from_showing_every_secret_in_both_forms(run):
    one = boots.secret("one", "api", environment="ONE", generate_bytes=None, file="/x")
    given = delivered(run, one, boots.secret("two", "web"), one=KEY + b"\n", two=PEM)
    hide, reports = hide_of(given)
    for program in ("api", "web", "bootstrap"):
        assert hide(program, "key is hunter2-hunter2!") == "key is ***!"
        assert hide(program, "MIIEvQIBADANBg") == "***"
    assert reports == []


def test_what_looks_like_a_secret_in_its_environment_is_hidden_as_well_in_its_own_words_only(run):
    hide, _ = hide_of(delivered(run), {"api": {"DB_PASSWORD": "sesame-open"}, "web": {}})
    assert (hide("api", "sesame-open"), hide("web", "sesame-open")) == ("***", "sesame-open")


def test_a_secret_that_cannot_be_read_hides_every_word_and_is_reported(run):
    given = credentials.Credentials((boots.secret("one", "api"),), run)
    hide, reports = hide_of(given)
    assert (hide("api", "any word"), hide("web", "any word")) == ("***", "***")
    assert "secret one" in str(reports[0][1])


def test_a_secret_of_nobody_is_nowhere_and_hides_nothing(run):
    hide, reports = hide_of(credentials.Credentials((boots.secret("one"),), run))
    assert (hide("api", "any word"), reports) == ("any word", [])


def test_bytes_that_are_no_text_are_hidden_as_text_shows_them(run):
    given = delivered(run, boots.secret("one", "api"), one=b"\xff\xfekey-of-bytes\xff")
    hide, _ = hide_of(given)
    assert hide("api", b"is \xff\xfekey-of-bytes\xff!".decode("utf-8", "replace")) == "is ***!"
