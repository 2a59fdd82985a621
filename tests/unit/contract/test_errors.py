import errno
import os
import socket

import pytest

from contract import errors, exit_codes


def test_an_error_prints_as_what_why_and_what_to_do():
    assert str(errors.BootsealError("a", "b", "c")) == "a: b (c)"
    assert str(errors.UnsafePath("a", "b")) == "a: b"


def test_an_os_error_is_described_without_its_path():
    assert errors.describe_os_error(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/secret")) == (
        "No such file or directory"
    )
    assert errors.describe_os_error(OSError()) == "OSError"


def test_an_os_error_without_a_number_says_what_python_says_of_it():
    with socket.socket(socket.AF_UNIX) as one, pytest.raises(OSError, match="too long") as raised:
        one.connect("x" * 200)
    assert errors.describe_os_error(raised.value) == "AF_UNIX path too long"


def test_the_exit_codes_are_the_published_ones():
    assert (exit_codes.OK, exit_codes.GENERIC_FAILURE, exit_codes.USAGE_ERROR) == (0, 1, 2)
    assert (exit_codes.INFRASTRUCTURE_FAILURE, exit_codes.CANNOT_EXECUTE, exit_codes.NOT_FOUND) == (6, 126, 127)
    assert exit_codes.from_signal(15) == 143


def test_what_is_not_printable_is_escaped_and_all_else_stays():
    name = os.fsdecode(b"bad\xff\n\x1b[31m \xc3\xa9\\")
    assert errors.printable(name) == r"bad\xff\n\x1b[31m " + "é\\"
    assert errors.printable("\ud800\u202e") == r"\ud800\u202e"
    assert errors.printable("") == ""
