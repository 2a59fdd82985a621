"""A registry of images that serves one OCI image layout on loopback: enough of the distribution specification to pull it.

Rules
-----
* It answers GET and HEAD of one manifest and its blobs (github.com/opencontainers/distribution-spec, "Pull"); every name is the one image.
"""

import contextlib
import http.server
import json
import pathlib
import shutil
import threading
from collections.abc import Iterator

from tests.container import box

_TAG = "latest"


@contextlib.contextmanager
def serving(image: str, place: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
    """Serve ``image`` and yield its reference there, and the paths that are asked for."""
    box.engine_ok("save", "--quiet", "--format=oci-dir", "--uncompressed", f"--output={place}", image)
    [described] = json.loads((place / "index.json").read_text())["manifests"]
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path == "/v2/":
                self.answer("application/json", None)
                return
            kind, name = self.path.split("/")[-2:]
            digest = described["digest"] if (kind, name) == ("manifests", _TAG) else name
            blob = place / "blobs" / digest.replace(":", "/")
            if kind not in {"manifests", "blobs"} or not digest.startswith("sha256:") or not blob.is_file():
                self.send_error(404)
                return
            self.answer(described["mediaType"] if kind == "manifests" else "application/octet-stream", blob)

        def do_HEAD(self) -> None:
            self.do_GET()

        def answer(self, kind: str, body: pathlib.Path | None) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Docker-Distribution-API-Version", "registry/2.0")
            self.send_header("Content-Length", str(body.stat().st_size if body else 0))
            self.end_headers()
            if body is not None and self.command == "GET":
                with body.open("rb") as file:
                    shutil.copyfileobj(file, self.wfile)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}/of-the-test:{_TAG}", asked
        finally:
            server.shutdown()
            thread.join()
