"""The programs of examples/hello do what its manifest expects of them."""

import os
import pathlib
import signal
import subprocess
import sys
import urllib.request

import pytest

HELLO = pathlib.Path(__file__).parents[3] / "examples" / "hello"


def start(*argv: str, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-u", str(HELLO / argv[0]), *argv[1:]]
    return subprocess.Popen(command, env={"PATH": os.environ["PATH"], **environment}, stdout=subprocess.PIPE, text=True)


def stopped(process: "subprocess.Popen[str]") -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out


@pytest.fixture
def greeting(tmp_path: pathlib.Path) -> str:
    path = str(tmp_path / "greeting")
    with start("prepare.py", path) as prepare:
        assert prepare.wait(timeout=60) == 0
    return path


def test_the_greeter_says_what_was_prepared_and_stops_when_asked(greeting: str) -> None:
    with start("greeter.py", greeting, PORT="0") as greeter:
        assert greeter.stdout is not None
        address = greeter.stdout.readline().rsplit(maxsplit=1)[-1]
        assert address.startswith("127.0.0.1:")
        with urllib.request.urlopen(f"http://{address}/", timeout=60) as answer:
            assert answer.read() == pathlib.Path(greeting).read_bytes()
        assert stopped(greeter) == (0, "greeter: stopped\n")


def test_the_greeter_fails_without_a_greeting(tmp_path: pathlib.Path) -> None:
    with start("greeter.py", str(tmp_path / "nothing"), PORT="0") as greeter:
        assert greeter.wait(timeout=60) != 0


def test_the_ticker_stops_when_asked() -> None:
    with start("ticker.py") as ticker:
        assert ticker.stdout is not None
        assert ticker.stdout.readline() == "ticker: started\n"
        assert stopped(ticker) == (0, "ticker: stopped\n")
