import json
import os

import pytest
from supervisor import loggers

from manifest import serving
from supervisord import line_format, log


def logging_in(form: str):
    lines: list[bytes] = []
    logger = loggers.Logger(level=loggers.LevelsByName.INFO)
    log.redirect(logger, lambda data: bool(lines.append(data)), line_format.LineFormat(form, ["bootstrap-seal"]))
    return logger, lines


@pytest.fixture
def printed():
    return logging_in(serving.PLAIN)


def test_a_record_is_printed_as_one_line_with_its_level(printed):
    logger, lines = printed
    logger.info("spawned: 'api' with pid 7")
    logger.critical("broken")
    assert [line.split(b" ", 2)[2] for line in lines] == [b"INFO spawned: 'api' with pid 7\n", b"CRIT broken\n"]


def test_what_is_below_the_loggers_level_is_not_printed(printed):
    logger, lines = printed
    logger.debug("noise")
    logger.trace("noise")
    assert lines == []


def test_supervisors_own_handlers_are_replaced(printed):
    logger, _ = printed
    assert len(logger.handlers) == 1
    logger.handlers[0].reopen()
    logger.handlers[0].flush()
    logger.handlers[0].remove()
    logger.close()


@pytest.mark.parametrize(
    ("message", "level", "printed_as"),
    [
        ("Server 'unix_http_server' running without any HTTP authentication checking", "CRIT", None),
        ("received SIGTERM indicating exit request", "WARN", "INFO"),
        ("received SIGHUP indicating restart request", "WARN", "INFO"),
        ("stopped: api (terminated by SIGTERM)", "WARN", "INFO"),
        ("stopped: api (exit status 0)", "INFO", "INFO"),
        ("exited: api (exit status 1; not expected)", "WARN", "WARN"),
        ("killing 'api' (7) with SIGKILL", "WARN", "WARN"),
        ("received SIGCHLD indicating a child quit", "WARN", "WARN"),
        ("could not write pidfile", "CRIT", "CRIT"),
        ("reaped unknown pid 4711 (exit status 0)", "INFO", None),
        ("uncaptured python exception, closing channel <x> (<class 'BrokenPipeError'>:[Errno 32])", "CRIT", "INFO"),
        (
            "uncaptured python exception, closing channel <x> (<class 'ConnectionResetError'>:[Errno 104])",
            "CRIT",
            "INFO",
        ),
        ("uncaptured python exception, closing channel <x> (<class 'KeyError'>:'x')", "CRIT", "CRIT"),
        ("exited: api (BrokenPipeError)", "WARN", "WARN"),
    ],
)
def test_only_what_looks_like_trouble_and_is_none_is_calmed(message, level, printed_as):
    found = log.judge(message, getattr(loggers.LevelsByName, level))
    assert found == (None if printed_as is None else getattr(loggers.LevelsByName, printed_as))


def test_a_message_with_percent_signs_or_bytes_is_printed_as_it_is(printed):
    logger, lines = printed
    logger.info("100% of %(nothing)s")
    logger.info(b"bytes \xc3\xa9")
    logger.info("surrogate \udce9")
    assert lines[0].endswith(b"100% of %(nothing)s\n")
    assert lines[1].endswith("bytes é\n".encode())
    assert lines[2].endswith(b"surrogate \\udce9\n")


def test_a_message_that_does_not_format_never_reaches_supervisord_as_an_exception(printed):
    logger, lines = printed
    logger.info("%(missing)s %d", value=1)
    logger.info(b"\xff\xfe", value=1)
    assert b"%(missing)s %d" in lines[0]
    assert len(lines) == 2


def test_in_json_a_record_is_an_object_of_the_program_supervisord():
    logger, lines = logging_in(serving.JSON)
    logger.log(loggers.LevelsByName.WARN, "broken\n\x1b[2K %s \udce9 é")
    logger.critical("trouble")
    values = [json.loads(line) for line in lines]
    assert all(line.endswith(b"}\n") and line.count(b"\n") == 1 for line in lines)
    assert values[0]["message"] == "broken\n\x1b[2K %s \udce9 é"
    assert [(one["program"], one["stream"], one["pid"], one["level"]) for one in values] == [
        ("supervisord", "stdout", os.getpid(), "warn"),
        ("supervisord", "stdout", os.getpid(), "critical"),
    ]


def test_prefixed_every_line_of_a_record_has_the_prefix_and_moves_no_cursor():
    logger, lines = logging_in(serving.PREFIXED)
    logger.info("one\r\x1b[2K\ntwo")
    first, second = b"".join(lines).decode().splitlines()
    assert first.startswith("supervisord    | ")
    assert first.endswith("INFO one\\r\\x1b[2K")
    assert second == "supervisord    | two"
