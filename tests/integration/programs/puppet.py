"""A program that does nothing but what a test tells it, one JSON object a connection on ``ROOT/NAME.sock``.

``puppet.py NAME ROOT [WORDS]``: WORDS is a JSON list of orders that it carries out by itself when it starts. What it did
stands in ``ROOT/stamps``: its name, what, its pid and CLOCK_MONOTONIC in nanoseconds. Standard library only, and no site: it
starts in some ten milliseconds.
"""

import array
import base64
import contextlib
import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any


class Puppet:
    """The program; each public method is an order."""

    def __init__(self, name: str, root: str) -> None:
        self._name = name
        self._root = root
        self._open: list[Any] = []
        self._standing: dict[str, Any] = {"status": 200}
        self._next: list[dict[str, Any]] = []
        self._given: list[int] = []
        self._code_on_term = 0
        self._is_flooding = False
        self._flooded = 0
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, number: int, _frame: object) -> None:
        self.stamp("stopped")
        os._exit(self._code_on_term)

    def stamp(self, what: str) -> None:
        """Write down that ``what`` happens now."""
        line = f"{self._name} {what} {os.getpid()} {time.monotonic_ns()}\n"
        fd = os.open(f"{self._root}/stamps", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.write(fd, line.encode())
        os.close(fd)

    def notify(self, text: str = "", *, data: str = "", to: str = "", descriptors: int = 0) -> None:
        """Send ``text``, or the base64 of ``data``, to NOTIFY_SOCKET or ``to``; with so many descriptors."""
        if text == "READY=1":
            self.stamp("ready")
        bytes_to_send = base64.b64decode(data) if data else text.encode()
        attached = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * descriptors))] if descriptors else []
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(to or os.environ["NOTIFY_SOCKET"])
            sender.sendmsg([bytes_to_send], attached)

    def flood(self, text: str) -> None:
        """Say ``text`` without a pause, until it is told to end, and meanwhile take orders."""
        self._is_flooding = True

        def send() -> None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.connect(os.environ["NOTIFY_SOCKET"])
                while self._is_flooding:
                    sender.send(text.encode())
                    self._flooded += 1

        threading.Thread(target=send, daemon=True).start()

    def flooded(self) -> int:
        """Return how often the flood said it."""
        return self._flooded

    def end_flood(self) -> None:
        """End the flood."""
        self._is_flooding = False

    def barrier(self) -> None:
        """Wait until PID 1 has taken everything that was said before (sd_notify_barrier(3))."""
        reading, writing = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(os.environ["NOTIFY_SOCKET"])
            sender.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing]))])
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)

    def write(self, fd: int, text: str) -> None:
        """Write to a descriptor that it was born with."""
        os.write(fd, text.encode())

    def touch(self, path: str) -> None:
        """Make a file."""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))

    def remove(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)

    def tcp(self, port: int) -> None:
        """Listen on a port."""
        self._open.append(socket.create_server(("127.0.0.1", port)))

    def unix(self, path: str) -> None:
        """Listen on a unix socket."""
        self._open.append(_unix_server(path))

    def http(self, port: int) -> None:
        """Serve on a port what ``answer`` says."""
        puppet = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = puppet._next.pop(0) if puppet._next else puppet._standing
                time.sleep(wanted.get("delay", 0.0))
                with contextlib.suppress(OSError):
                    self.send_response(wanted["status"])
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                puppet._given.append(wanted["status"])

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def answer(self, status: int = 200, delay: float = 0.0, first: list[int] | None = None) -> None:
        """Answer with each status of ``first`` once, and then with ``status`` after ``delay`` seconds."""
        self._given.clear()
        self._standing = {"status": status, "delay": delay}
        self._next = [{"status": one} for one in first or []]

    def given(self) -> list[int]:
        """Return the statuses it answered with since the last ``answer``."""
        return list(self._given)

    def on_term(self, code: int) -> None:
        """Exit with ``code`` when asked to stop."""
        self._code_on_term = code

    def child(self, name: str) -> int:
        """Make a child that is the puppet ``name``, and return its pid."""
        pid = os.fork()
        if pid == 0:
            os.execv(sys.executable, [sys.executable, "-I", "-S", __file__, name, self._root])
        return pid

    def last_words(self, text: str, to: str) -> int:
        """Let a child send ``text`` to the socket ``to`` and die; return its pid."""
        pid = os.fork()
        if pid == 0:
            self.notify(text, to=to)
            os._exit(0)
        os.waitpid(pid, 0)
        return pid

    def pid(self) -> int:
        """Return its pid."""
        return os.getpid()

    def environment(self, name: str) -> str | None:
        """Return a variable that it was born with."""
        return os.environ.get(name)

    def exit(self, code: int) -> None:
        """End."""
        os._exit(code)

    def die(self, number: int) -> None:
        """End by a signal."""
        os.kill(os.getpid(), number)

    def sleep(self, seconds: float) -> None:
        """Do nothing."""
        time.sleep(seconds)

    def serve(self, orders: list[list[Any]]) -> None:
        """Carry out ``orders``, and then what comes."""
        self.stamp("started")
        for what, arguments in orders:
            getattr(self, what)(**arguments)
        server = _unix_server(f"{self._root}/{self._name}.sock")
        while True:
            connection, _ = server.accept()
            with connection, connection.makefile("rwb") as stream:
                order = json.loads(stream.readline())
                if order["what"] in {"exit", "die"}:
                    stream.write(b'{"did": null}\n')
                    stream.flush()
                answer = getattr(self, order["what"])(**order["arguments"])
                stream.write(json.dumps({"did": answer}).encode() + b"\n")


def _unix_server(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(16)
    return server


if __name__ == "__main__":
    Puppet(sys.argv[1], sys.argv[2]).serve(json.loads(sys.argv[3]) if len(sys.argv) > 3 else [])
