"""The shop's HTTP API: ``GET /items``, ``POST /items {"name": …}``, ``GET /``; ``DELETE /items`` with the operator's key.

It starts only upon the schema it knows: that is what ``after: [migrate]`` is for.
"""

import hmac
import http.server
import json
import os
import signal
import sys
import threading
from typing import Any

import resp
import schema

BODY_LIMIT = 64 * 1024
NAME_LIMIT = 200


class RequestError(Exception):
    """The request cannot be served: an HTTP status and a sentence."""

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        super().__init__(why)


def items(redis: resp.Redis) -> list[dict[str, Any]]:
    numbers = redis.ask("LRANGE", "items", 0, -1)
    if not isinstance(numbers, list) or not numbers:
        return []
    values = redis.ask("MGET", *(f"item:{number}" for number in numbers))
    return [json.loads(value) for value in values if isinstance(value, str)] if isinstance(values, list) else []


def add(redis: resp.Redis, name: str) -> dict[str, Any]:
    number = redis.ask("INCR", "item:next")
    item = {"id": number, "name": name, "state": "ordered"}
    redis.ask("SET", f"item:{number}", json.dumps(item))
    redis.ask("RPUSH", "items", str(number))
    redis.ask("LPUSH", "jobs", str(number))
    return item


def wanted_name(body: bytes) -> str:
    try:
        name = json.loads(body)["name"]
    except (ValueError, TypeError, KeyError):
        name = None
    if not isinstance(name, str) or not 0 < len(name) <= NAME_LIMIT:
        raise RequestError(400, f'send {{"name": text}}, 1 to {NAME_LIMIT} characters')
    return name


class Handler(http.server.BaseHTTPRequestHandler):
    """One request, one connection to redis."""

    server_version = "shop"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:
        if self.path == "/":
            self.answer(200, {"shop": os.environ.get("SHOP_NAME", "shop"), "items": "/items"})
        else:
            self.serve(lambda redis: (200, {"items": items(redis)}))

    def do_POST(self) -> None:
        self.serve(lambda redis: (201, add(redis, wanted_name(self.body()))))

    def do_DELETE(self) -> None:
        self.serve(lambda redis: (200, {"forgotten": self.forget(redis)}))

    def forget(self, redis: resp.Redis) -> Any:
        with open(
            f"{os.environ['CREDENTIALS_DIRECTORY']}/operator-key", "rb"
        ) as file:  # when it is needed, and not kept
            wanted = b"Bearer " + file.read().strip()
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), wanted):
            raise RequestError(401, "only the operator may: send the key as `Authorization: Bearer …`")
        return redis.ask("DEL", "items")

    def serve(self, action: Any) -> None:
        try:
            if self.path != "/items":
                raise RequestError(404, "there is /items and nothing else")
            with resp.connect() as redis:
                self.answer(*action(redis))
        except RequestError as error:
            self.answer(error.status, {"error": str(error)})
        except (OSError, resp.RedisError) as error:
            self.answer(503, {"error": f"the store does not answer: {error}"})

    def body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal():
            raise RequestError(411, "say Content-Length")
        if int(length) > BODY_LIMIT:
            raise RequestError(413, f"send at most {BODY_LIMIT} bytes")
        return self.rfile.read(int(length))

    def answer(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """The front door logs requests."""


def main() -> None:
    with resp.connect() as redis:
        version = schema.reached(redis)
    if version != schema.VERSION:
        sys.exit(f"api: the store has schema {version} and this API knows {schema.VERSION} (run migrate.py first)")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
    # shutdown() waits for the loop that this signal interrupted, so another thread has to ask.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"api: listening on 127.0.0.1:{server.server_port}")
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    print("api: stopped")


if __name__ == "__main__":
    main()
