"""What supervisorctl says beside PID 1's ledger: /ready, asked over the probe server's own socket."""

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import rundir
from supervisord import ctl_answers

MOUNT = {"id": "/room", "kind": "mount", "reason": "0 bytes are free", "since": "…", "required": True}


class Probes:
    """Answers every request on ``probes.sock`` with ``status`` and ``body``."""

    def __init__(self, run: rundir.RunDirectory) -> None:
        self.status, self.body, self.asked = 200, json.dumps({"ready": True}), []
        probes = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                probes.asked.append(self.path)
                self.send_response(probes.status)
                self.end_headers()
                self.wfile.write(probes.body.encode())

            def address_string(self) -> str:
                return "a unix socket"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = socketserver.UnixStreamServer(run.probes_socket, Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def run(tmp_path: Path) -> rundir.RunDirectory:
    made = rundir.RunDirectory(str(tmp_path))
    Path(made.boot_record).write_text("{}")
    return made


@pytest.fixture
def probes(run: rundir.RunDirectory) -> Iterator[Probes]:
    made = Probes(run)
    yield made
    made.server.shutdown()
    made.server.server_close()


def url(run: rundir.RunDirectory) -> str:
    return f"unix://{run.supervisor_socket}"


def test_what_is_ready_by_the_ledger_and_by_ready_lacks_nothing(run: rundir.RunDirectory, probes: Probes) -> None:
    assert ctl_answers.missing_beside(url(run)) == []
    assert probes.asked == ["/ready"]


def test_a_mount_that_is_full_is_missing_though_every_program_is_ready(
    run: rundir.RunDirectory, probes: Probes
) -> None:
    probes.status, probes.body = 503, json.dumps({"ready": False, "reason": "x", "missing": [MOUNT]})
    assert ctl_answers.missing_beside(url(run)) == [ctl_answers.Missing("/room", "mount", "0 bytes are free")]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "{}"),
        (200, '{"ready": 1}'),
        (200, "[]"),
        (200, "hello"),
        (503, '{"missing": [{}]}'),
        (503, '{"missing": 7}'),
    ],
)
def test_an_answer_that_is_none_of_ours_is_no_yes(
    run: rundir.RunDirectory, probes: Probes, status: int, body: str
) -> None:
    probes.status, probes.body = status, body
    (one,) = ctl_answers.missing_beside(url(run))
    assert one.state == "unknown"


def test_an_unready_answer_without_rows_is_no_yes(run: rundir.RunDirectory, probes: Probes) -> None:
    probes.status, probes.body = 503, '{"missing": []}'
    assert ctl_answers.missing_beside(url(run)) == [ctl_answers.Missing("(ready)", "unknown", "/ready answered 503")]


def test_a_probe_server_that_is_not_there_is_no_yes(run: rundir.RunDirectory) -> None:
    (one,) = ctl_answers.missing_beside(url(run))
    assert (one.name, one.state) == ("(probes)", "unknown")
    assert "No such file or directory" in one.reason


@pytest.mark.parametrize("address", ["http://127.0.0.1:9001", "unix:///nowhere/run/supervisor.sock"])
def test_where_no_run_directory_is_known_the_ledger_alone_counts(address: str) -> None:
    assert ctl_answers.missing_beside(address) == []
