import contextlib
import json
import os
import socket
import threading
import xmlrpc.client

import pytest

from contract import errors, output, snapshot
from supervisord import client
from tests.unit import boots


class Server:
    """Listens on a unix socket, keeps what it was sent, and answers with fixed bytes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.answer: bytes | None = b""
        self.bodies: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._held: list[socket.socket] = []

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            data = b""
            while b"</methodCall>" not in data and (chunk := connection.recv(65536)):
                data += chunk
            self.bodies.append(data.partition(b"\r\n\r\n")[2])
            if self.answer is None:
                self._held.append(connection)
                continue
            with contextlib.suppress(OSError):
                connection.sendall(self.answer)
            connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._held:
            connection.close()


@pytest.fixture
def server(tmp_path):
    made = Server(str(tmp_path / "supervisor.sock"))
    yield made
    made.close()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def returned(value: object) -> bytes:
    return http(xmlrpc.client.dumps((value,), methodresponse=True).encode())


def test_a_call_returns_what_supervisord_answers(server):
    server.answer = returned({"statecode": 1, "names": ["a", "b"]})
    assert client.Client(server.path).call("supervisor.getState") == {"statecode": 1, "names": ["a", "b"]}
    assert xmlrpc.client.loads(server.bodies[0]) == ((), "supervisor.getState")


def test_arguments_arrive(server):
    server.answer = returned(True)
    assert client.Client(server.path).call("bootseal.fail", "the cause", 3, True) is True
    assert xmlrpc.client.loads(server.bodies[0]) == (("the cause", 3, True), "bootseal.fail")


def test_a_cause_with_colours_and_control_characters_arrives_readable(server):
    """A program's last output is part of the cause, and XML cannot carry an escape character."""
    server.answer = returned(True)
    client.Client(server.path).call("bootseal.fail", "\x1b[31mred\x1b[0m \0 <&> é \U0001f600 \ud800\ufffe\tend\n")
    (cause,), _ = xmlrpc.client.loads(server.bodies[0])
    assert cause == "\ufffd[31mred\ufffd[0m \ufffd <&> é \U0001f600 \ufffd\ufffd\tend\n"


def test_a_fault_is_a_refusal_with_supervisors_number(server):
    server.answer = http(xmlrpc.client.dumps(xmlrpc.client.Fault(6, "SHUTDOWN_STATE"), methodresponse=True).encode())
    with pytest.raises(client.Refused, match="SHUTDOWN_STATE") as caught:
        client.Client(server.path).call("supervisor.getState")
    assert caught.value.code == client.SHUTDOWN_STATE


def test_an_answer_that_does_not_come_is_unreachable_in_time(server):
    server.answer = None
    with pytest.raises(client.Unreachable, match=r"no answer within 0\.05 s"):
        client.Client(server.path).call("supervisor.getState", timeout_seconds=0.05)


def test_nobody_listening_is_unreachable(tmp_path):
    with pytest.raises(client.Unreachable, match="No such file"):
        client.Client(str(tmp_path / "none.sock")).call("x.y")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "bound.sock"))
        with pytest.raises(client.Unreachable, match="refused"):
            client.Client(str(tmp_path / "bound.sock")).call("x.y")
    with pytest.raises(client.Unreachable):
        client.Client(str(tmp_path / ("x" * 200))).call("x.y")
    with pytest.raises(client.Unreachable):
        client.Client("/a\0b").call("x.y")


def value(inner: str) -> bytes:
    return http(f"<methodResponse><params><param><value>{inner}</value></param></params></methodResponse>".encode())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage",
        b"HTTP/1.1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        http(b""),
        http(b"not xml"),
        http(b"<html></html>"),
        http(b"<methodResponse></methodResponse>"),
        http(b"<methodResponse><params></params></methodResponse>"),
        http(b"", "500 Internal Server Error"),
        http(b"", "401 Unauthorized"),
        http(b"\0" * 1000),
        value("<int>x</int>"),
        value("<int>" + "9" * 5000 + "</int>"),
        value("<boolean>7</boolean>"),
        value("<bigdecimal>x</bigdecimal>"),
        value("<base64>a</base64>"),
        value("<nil>x</nil>").replace(b"</nil>", b""),
        value("<struct><member><value><array><data/></array></value><value>1</value></member></struct>"),
        value("<struct><member><name>a</name></member></struct>"),
        http(b"<methodResponse><fault><value><int>1</int></value></fault></methodResponse>"),
        http(
            xmlrpc.client.dumps(xmlrpc.client.Fault(6, "x"), methodresponse=True)
            .replace("<int>6</int>", "<string>six</string>")
            .encode()
        ),
    ],
)
def test_an_answer_that_is_none_is_unreachable_and_never_another_error(server, answer):
    server.answer = answer
    with pytest.raises(client.Unreachable):
        client.Client(server.path).call("x.y", timeout_seconds=5.0)


def test_the_ledger_is_decoded_strictly(server):
    ledger = boots.ledger(boots.view("api"))
    server.answer = returned(snapshot.dump(ledger))
    calls = client.Client(server.path)
    assert calls.snapshot() == ledger
    server.answer = returned("{}")
    with pytest.raises(errors.InvalidRecord):
        calls.snapshot()
    server.answer = returned(17)
    with pytest.raises(client.Unreachable, match="not text"):
        calls.snapshot()
    with pytest.raises(client.Unreachable, match="not text"):
        calls.summary()


def test_no_descriptor_is_left_open(server):
    server.answer = http(b"")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(client.Unreachable):
            client.Client(server.path).call("x.y")
    assert len(os.listdir("/proc/self/fd")) <= before + 1, "the server may still be closing its last one"


def test_output_is_asked_for_by_numbers_that_xml_rpc_cannot_carry_and_read_strictly(server):
    line = {"seq": 2**40, "time": "t", "program": "a", "stream": "stdout", "pid": 7, "message": "é", "partial": False}
    answer = {"schema": output.SCHEMA, "boot_id": "b", "next": 2**40, "dropped": 3, "lines": [line]}
    server.answer = http(xmlrpc.client.dumps((json.dumps(answer),), methodresponse=True).encode())
    found = client.Client(server.path).output(2**40 - 1, 10, ("a",))
    assert found == output.Output(output.SCHEMA, "b", 2**40, 3, (output.Line(**line),))
    assert xmlrpc.client.loads(server.bodies[0])[0] == (str(2**40 - 1), "10", ["a"])
    for broken in (
        {**answer, "next": "1"},
        {**answer, "schema": "other"},
        {**answer, "boot_id": None},
        {**answer, "lines": [{**line, "pid": None}]},
    ):
        server.answer = http(xmlrpc.client.dumps((json.dumps(broken),), methodresponse=True).encode())
        with pytest.raises(errors.InvalidRecord):
            client.Client(server.path).output()
