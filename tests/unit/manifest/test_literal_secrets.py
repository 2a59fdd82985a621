"""Secrets that stand in the manifest: which are found, which are not meant, and that none is shown."""

import json
import pathlib

import pytest

from entrypoint import cli
from manifest import diagnostics, literal_secrets
from tests.unit.manifest import manifests

PROGRAM = "version: 1\nname: x\nprograms:\n  a:\n    command: [a]\n    environment:\n"
VALUE = "hunter2-f7Rw2kq9Xz"
MADE = "f7Rw2kq9XzJ4mmPq"

CREDENTIALS = (
    "PASSWORD", "DB_PASSWORD", "POSTGRES_PASSWORD", "PGPASSWORD", "MYSQL_ROOT_PASSWORD", "MYSQL_PWD",
    "RABBITMQ_DEFAULT_PASS", "SSH_PASSPHRASE", "JWT_SECRET", "CLIENT_SECRET", "SECRET_KEY", "SECRET_KEY_BASE",
    "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "NPM_TOKEN", "AUTHTOKEN", "API_KEY", "OPENAI_API_KEY", "APIKEY",
    "RAILS_MASTER_KEY", "SSH_PRIVATE_KEY", "DB_PASSWORD_2", "API_KEY_OLD", "dbPassword", "db_password", "apiKey",
    "X_CREDENTIALS", "NSEC", "APP_KEY", "TOKEN",
)  # fmt: skip
OTHERS = (
    "PASSWORD_FILE", "API_KEY_PATH", "SECRET_NAME", "TOKEN_TTL", "TOKEN_URL", "PUBLIC_KEY", "SSH_PUB_KEY",
    "CACHE_KEY", "PRIMARY_KEY", "PARTITION_KEY", "KEY", "KEYBOARD", "MONKEY", "AUTHOR", "AUTH_MODE", "COMPASS",
    "BYPASS", "PWD", "OLDPWD", "PASSENGER_PORT", "MAX_TOKENS", "PAD_TOKEN", "EOS_TOKEN", "AWS_ACCESS_KEY_ID",
    "PASSWORD_HASH", "HASHED_PASSWORD", "NO_PASSWORD", "USE_TOKEN", "REQUIRE_PASSWORD", "SECRETARY", "PATH", "PORT",
    "", "_", "2",
)  # fmt: skip


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_name_that_speaks_of_a_credential_is_one(name: str) -> None:
    assert literal_secrets.is_credential(name)


@pytest.mark.parametrize("name", OTHERS)
def test_a_name_that_speaks_of_something_else_is_none(name: str) -> None:
    assert not literal_secrets.is_credential(name)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "changeme",
            "CHANGEME",
            "change-me",
            "Change_This_Secret_Key",
            "changeit",
            "please-change-me!",
            "replace-with-your-key",
        ),
        *(
            "password",
            "secret",
            "admin",
            "example",
            "todo",
            "TODO",
            "xxx",
            "XXXXXXXX",
            "your-api-key-here",
            "insert-your-token",
        ),
        *(
            "<password>",
            "<your key>",
            "$${DB_PASSWORD}",
            "$DB_PASSWORD",
            "$(DB_PASSWORD)",
            "%(ENV_DB)s",
            "%DB_PASSWORD%",
        ),
        *("{{ db_password }}", "@DB_PASSWORD@", "__DB_PASSWORD__", "***", "....", "[redacted]", "'changeme'", "123456"),
    ],
)
def test_what_only_stands_for_a_secret_is_a_placeholder(value: str) -> None:
    assert literal_secrets.placeholder(value)


@pytest.mark.parametrize(
    "value",
    ["hunter2", "postgres", "exemplary", "secretary-of-state", "Passw0rd-of-mine", "$ecret1", "a<b>c", "yours", ""],
)
def test_what_may_be_a_secret_is_no_placeholder(value: str) -> None:
    assert literal_secrets.placeholder(value) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("DB_PASSWORD", value)
            for value in ("", "true", "no", "optional", "/run/secrets/x", "./x", "~/x", "key.pem", "vault:x/y")
        ),
        *(
            ("API_TOKEN", value)
            for value in ("30", "30s", "1.5", "12:30", "https://auth.example.org/token", "file:/x", "op://x/y")
        ),
        *(
            ("JWT_SECRET", value)
            for value in ("ssh-ed25519 AAAAC3Nz", "-----BEGIN PUBLIC KEY-----\nx", "a${run}b", "${secret:x}")
        ),
        *(("SESSION_KEY", value) for value in ("session", "user-settings-of-the-shop", "a-name-with-a-2")),
    ],
)
def test_what_is_no_secret_is_left_alone(name: str, value: str) -> None:
    assert not literal_secrets.is_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "hunter2"),
        ("DB_PASSWORD", "1234"),
        ("API_KEY", "abc"),
        ("SESSION_KEY", MADE),
        ("T_TOKEN", "correct horse"),
    ],
)
def test_what_is_a_secret_is_told(name: str, value: str) -> None:
    assert literal_secrets.is_secret(name, value)


ARGUMENTS = {
    "a shell's own variable": '[sh, -c, "psql postgres://app:$PGPASSWORD@db/x"]',
    "an expression of ours": '[a, "redis://:${run}@db"]',
    "the file of a secret": '[a, --token-file, "${secret:t}"]',
    "a switch behind a switch": "[a, --password, --verbose]",
    "a switch": "[a, --no-password, x]",
    "a URL without a password": '[a, "http://me@host/", "http://host:80/@x", "mailto:a@b"]',
    "a number": "[a, --max-token, 100]",
}


@pytest.mark.parametrize("command", ARGUMENTS.values(), ids=ARGUMENTS)
def test_an_argument_that_holds_no_secret_is_left_alone(command: str, tmp_path: pathlib.Path) -> None:
    text = f"version: 1\nname: x\nprograms:\n  a: {{command: {command}}}\nsecrets: {{t: {{generate: 16, programs: [a]}}}}\n"
    assert manifests.load(tmp_path, text).diagnostics == ()


def test_what_we_put_into_a_url_is_no_secret_in_the_manifest(tmp_path: pathlib.Path) -> None:
    assert manifests.load(tmp_path, PROGRAM + '      X: "redis://:${run}@db"\n').diagnostics == ()


SHAPES = (
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "nsec1" + "q" * 58,
    "ghp_" + "a1" * 18,
    "glpat-" + "a1" * 10,
    "xoxb-1234567890-abc",
    "sk_live_" + "a1" * 10,
)


@pytest.mark.parametrize("value", SHAPES)
def test_what_looks_like_a_key_is_found_whatever_it_is_called(value: str, tmp_path: pathlib.Path) -> None:
    assert manifests.codes(manifests.load(tmp_path, f"{PROGRAM}      X: '{value}'\n")) == ["W010"]
    assert manifests.codes(
        manifests.load(tmp_path, f"version: 1\nname: x\nprograms: {{a: {{command: [a, '{value}']}}}}\n")
    ) == ["W010"]


PLACES = {
    "alone": f"      DB_PASSWORD: {VALUE}\n",
    "quoted": f'      DB_PASSWORD: "{VALUE}"\n',
    "of two lines": f'      DB_PASSWORD: "{VALUE}\n        {VALUE}"\n',
    "a block": f"      DB_PASSWORD: |-\n        {VALUE}\n",
    "an alias": f"      DB_PASSWORD: &x {VALUE}\n      API_KEY: *x\n",
    "in a URL": f"      X: postgres://me:{VALUE}@db/x\n",
}


@pytest.mark.parametrize("lines", PLACES.values(), ids=PLACES)
def test_no_secret_is_shown_with_what_is_said_of_it(
    lines: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bootseal.yaml"
    path.write_text(PROGRAM + lines)
    for form in ("text", "json"):
        cli.main(["check", str(path), "--format", form])
        out, err = capsys.readouterr()
        assert "W010" in out + err
        assert VALUE not in out + err


def test_no_secret_is_shown_with_what_is_said_of_something_else_on_its_line(tmp_path: pathlib.Path) -> None:
    text = f"version: 1\nname: x\nprograms:\n  a: {{command: [a], environment: {{DB_PASSWORD: {VALUE}, API_KEY: 'k{VALUE}'}}, stpo: {{}}}}\n"
    found = manifests.load(tmp_path, text)
    assert manifests.codes(found) == ["W010", "W010", "E020"]
    shown = diagnostics.render(found.diagnostics, "x", found.text) + json.dumps(
        diagnostics.to_json(found.diagnostics, "x", found.text)
    )
    assert VALUE not in shown
    assert "stpo" in shown


def test_the_place_of_a_hidden_secret_is_underlined_as_wide_as_it_is(tmp_path: pathlib.Path) -> None:
    found = manifests.load(tmp_path, f"{PROGRAM}      DB_PASSWORD: {VALUE}\n")
    lines = diagnostics.render(found.diagnostics, "x", found.text).splitlines()
    assert lines[1].endswith(f"DB_PASSWORD: {'*' * len(VALUE)}")
    assert lines[2].endswith(f" {'^' * len(VALUE)}")


def test_a_message_shows_no_value_that_could_be_one(tmp_path: pathlib.Path) -> None:
    """A placeholder is shown as what everybody knows of it, not as it stands there."""
    [found] = manifests.load(tmp_path, f"{PROGRAM}      DB_PASSWORD: <{VALUE}>\n").diagnostics
    assert (found.code, VALUE in str(found)) == ("E104", False)
    [found] = manifests.load(tmp_path, f"{PROGRAM}      DB_PASSWORD: changeme-{VALUE}\n").diagnostics
    assert (found.code, VALUE in str(found)) == ("E104", False)


def test_ten_thousand_variables_are_judged(tmp_path: pathlib.Path) -> None:
    more = "".join(
        f"      V{number}: postgres://me@db/{number}\n      P{number}_PASSWORD: /run/{number}\n"
        for number in range(5_000)
    )
    assert manifests.load(tmp_path, PROGRAM + more).diagnostics == ()
