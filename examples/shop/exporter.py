"""A metrics exporter: figures of the store in Prometheus' text format. The shop sells without it (`required: false`)."""

import http.server
import os
import signal
import threading
from typing import Any

import resp

FIGURES = {
    "shop_items": ("LLEN", "items"),
    "shop_jobs_waiting": ("LLEN", "jobs"),
    "shop_items_packed": ("GET", "packed"),
}


def exposition() -> str:
    with resp.connect(1.0) as redis:
        return "".join(f"# TYPE {name} gauge\n{name} {redis.ask(*command) or 0}\n" for name, command in FIGURES.items())


class Handler(http.server.BaseHTTPRequestHandler):
    """One scrape."""

    timeout = 10

    def do_GET(self) -> None:
        try:
            status, text = 200, exposition()
        except (OSError, resp.RedisError) as error:
            status, text = 503, f"# the store does not answer: {error}\n"
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Scrapes are not worth a line."""


def main() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"exporter: listening on 127.0.0.1:{server.server_port}")
    server.serve_forever(poll_interval=0.1)
    server.server_close()


if __name__ == "__main__":
    main()
