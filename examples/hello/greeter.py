"""Answers every GET on 127.0.0.1:PORT with the greeting in the file that its argument names."""

import http.server
import os
import signal
import sys
import threading


class Greeter(http.server.ThreadingHTTPServer):
    """A server with something to say."""

    daemon_threads = True

    def __init__(self, port: int, greeting: bytes) -> None:
        super().__init__(("127.0.0.1", port), Answer)
        self.greeting = greeting


class Answer(http.server.BaseHTTPRequestHandler):
    """One answer of the greeter."""

    server: Greeter

    def do_GET(self) -> None:
        """Say the greeting."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(self.server.greeting)))
        self.end_headers()
        self.wfile.write(self.server.greeting)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def main(path: str, port: int) -> None:
    """Greet on ``port`` until SIGTERM."""
    with open(path, "rb") as file:
        greeting = file.read()
    with Greeter(port, greeting) as server:
        # shutdown() waits for the loop that this handler interrupts, so another thread must call it.
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        print(f"greeter: listening on 127.0.0.1:{server.server_port}")
        server.serve_forever(poll_interval=0.05)
    print("greeter: stopped")


if __name__ == "__main__":
    main(sys.argv[1], int(os.environ["PORT"]))
