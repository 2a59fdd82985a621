"""Where secrets come from; every refusal names the secret and its source and shows no value."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import errors
from entrypoint import mounts, secret_sources
from supervisord import credentials
from tests.unit import boots

VALUE = "hunter2-hunter2"


def secret(**source):
    return boots.secret("key", "api", **{"generate_bytes": None, **source})


def table(*points):
    """Return a table with mounts at ``points`` besides the root."""
    lines = (
        f"{number} 1 0:{number} / {point} rw,relatime - tmpfs tmpfs rw"
        for number, point in enumerate(("/", *points), 20)
    )
    return mounts.parse("".join(f"{line}\n" for line in lines))


def refusal(wanted, environment=None, mounted=()):
    with pytest.raises(errors.BootsealError) as caught:
        secret_sources.read(wanted, environment or {}, table(*mounted))
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).startswith("secret key from ")
    return str(caught.value)


def test_a_file_is_taken_byte_for_byte_its_last_newline_too(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(b"\x00binary\xff\n")
    assert secret_sources.read(secret(file=str(path)), {}, ()) == b"\x00binary\xff\n"


def test_a_variable_is_taken_as_it_is_bytes_that_are_no_text_too():
    environment = {"TOKEN": os.fsdecode(b"a\xffbc")}
    assert secret_sources.read(secret(variable="TOKEN"), environment, ()) == b"a\xffbc"


def test_generated_bytes_are_hexadecimal_digits_and_new_each_time():
    first, second = (secret_sources.read(secret(generate_bytes=32), {}, ()) for _ in range(2))
    assert re.fullmatch(rb"[0-9a-f]{64}", first)
    assert first != second


def test_a_variable_that_is_set_goes_before_generating_and_an_empty_one_is_a_mistake():
    wanted = secret(variable="TOKEN", generate_bytes=16)
    assert secret_sources.read(wanted, {"TOKEN": VALUE}, ()) == VALUE.encode()
    assert re.fullmatch(rb"[0-9a-f]{32}", secret_sources.read(wanted, {}, ()))
    assert "variable TOKEN: it is empty" in refusal(wanted, {"TOKEN": ""})
    assert "variable TOKEN: it is not set" in refusal(secret(variable="TOKEN"))


@pytest.mark.parametrize("text", ["", "\n", " \n\t"])
def test_a_secret_that_is_nothing_but_white_space_is_empty(tmp_path, text):
    (tmp_path / "key").write_text(text)
    assert f"file {tmp_path}/key: it is empty" in refusal(secret(file=f"{tmp_path}/key"))


@pytest.mark.parametrize("text", ["abc", "abc\n", "  abc  \n", "é\n"])
def test_a_secret_too_short_to_be_hidden_is_refused(tmp_path, text):
    (tmp_path / "key").write_text(text)
    told = refusal(secret(file=f"{tmp_path}/key"))
    assert f"file {tmp_path}/key: it has fewer than 4 bytes: it could not be hidden" in told
    (tmp_path / "key").write_text("abcd\n")
    assert secret_sources.read(secret(file=f"{tmp_path}/key"), {}, ()) == b"abcd\n"


def test_a_nul_is_refused_where_a_variable_must_carry_it_and_only_there(tmp_path):
    (tmp_path / "key").write_bytes(b"hunter2\0hunter2")
    assert "NUL byte, which the variable KEY" in refusal(secret(file=f"{tmp_path}/key", environment="KEY"))
    assert secret_sources.read(secret(file=f"{tmp_path}/key"), {}, ()) == b"hunter2\0hunter2"


def test_64_kib_is_the_most(tmp_path):
    (tmp_path / "key").write_bytes(b"x" * credentials.LIMIT)
    assert len(secret_sources.read(secret(file=f"{tmp_path}/key"), {}, ())) == credentials.LIMIT
    (tmp_path / "key").write_bytes(b"x" * (credentials.LIMIT + 1))
    assert "65536 bytes" in refusal(secret(file=f"{tmp_path}/key"))
    assert "65536 bytes" in refusal(secret(variable="KEY"), {"KEY": "x" * 70_000})


def test_an_endless_file_is_not_read_to_its_end(tmp_path):
    assert "not a regular file" in refusal(secret(file="/dev/zero"))


@pytest.mark.parametrize("kind", ["fifo", "directory", "socket of nothing"])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path, kind):
    path = tmp_path / "key"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    reason = refusal(secret(file=str(path)))
    assert f"file {path}: " in reason
    assert ("No such file" if kind == "socket of nothing" else "not a regular file") in reason


def test_a_file_that_may_not_be_read_is_named(tmp_path):
    from tests.unit import children

    os.chmod(tmp_path, 0o755)
    path = tmp_path / "key"
    path.write_text(VALUE)
    path.chmod(0)
    assert children.run_as_nobody(lambda: f"file {path}: Permission denied" in refusal(secret(file=str(path)))) == 0


def test_the_operators_symlinks_are_followed_as_kubernetes_makes_them(tmp_path):
    (tmp_path / "..2026_11_21").mkdir()
    (tmp_path / "..2026_11_21" / "key").write_text(VALUE)
    (tmp_path / "..data").symlink_to("..2026_11_21")
    (tmp_path / "key").symlink_to("..data/key")
    for source in ("file", "mounted"):
        wanted = secret(**{source: f"{tmp_path}/key"})
        assert secret_sources.read(wanted, {}, table(str(tmp_path))) == VALUE.encode()


def test_a_mounted_secret_lies_on_a_mount_of_its_own_wherever_its_links_end(tmp_path):
    (tmp_path / "image").mkdir()
    (tmp_path / "mount").mkdir()
    (tmp_path / "image" / "key").write_text(VALUE)
    (tmp_path / "mount" / "key").symlink_to(tmp_path / "image" / "key")
    points = [f"{tmp_path}/mount"]
    assert "mount of its own" in refusal(secret(mounted=f"{tmp_path}/image/key"), mounted=points)
    assert "mount of its own" in refusal(secret(mounted=f"{tmp_path}/mount/key"), mounted=points)
    for point in (f"{tmp_path}/image/key", f"{tmp_path}/image", str(tmp_path)):
        wanted = secret(mounted=f"{tmp_path}/image/key")
        assert secret_sources.read(wanted, {}, table(point)) == VALUE.encode()
    assert "mount of its own" in refusal(secret(mounted=f"{tmp_path}/image/key"), mounted=[f"{tmp_path}/imag"])


@given(st.binary(max_size=200))
def test_whatever_bytes_come_they_are_taken_whole_or_refused_without_being_shown(data):
    value = os.fsdecode(data)
    wanted = secret(variable="KEY", environment="OUT")
    try:
        taken = secret_sources.read(wanted, {"KEY": value}, ())
    except errors.BootsealError as error:
        assert len(data.strip()) < 4 or b"\0" in data
        assert len(value) < 6 or value not in str(error)
    else:
        assert taken == data
        assert os.fsencode(credentials.as_variable(wanted, taken)) == data
