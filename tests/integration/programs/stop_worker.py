"""A program that tells a file what happens to it and when, by CLOCK_MONOTONIC: ``stop_worker.py LOG NAME [OPTION…]``.

It writes a newline to descriptor 3 once its handlers are there; SIGUSR1 and SIGHUP are told. Options:

* ``takes=SECONDS`` from SIGTERM to its end, ``exits=CODE``, ``port=PORT``: it asks /ready and /livez when it is told to stop.
* ``notify``: READY=1 instead of the newline. ``deaf``: it ignores SIGTERM.
* ``group``: a deaf child in its process group. ``orphan``: a deaf one in a session of its own, whose parent is gone and which
  holds stdout open.
"""

import http.client
import json
import os
import signal
import socket
import sys
import time

LOG, NAME, *WORDS = sys.argv[1:]
OPTIONS = {name: value for name, _, value in (word.partition("=") for word in WORDS)}


def tell(what: str, **more: object) -> None:
    line = json.dumps({"name": NAME, "what": what, "at": time.monotonic(), "pid": os.getpid(), **more}) + "\n"
    log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(log, line.encode())
    os.close(log)


def status(path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", int(OPTIONS["port"]), timeout=30)
    connection.request("GET", path)
    return connection.getresponse().status


def sit(what: str) -> None:
    """Live deaf, for ever."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell(what)
    while True:
        time.sleep(3600)


def on_term(_number: int, _frame: object) -> None:
    tell("term")
    if "port" in OPTIONS:
        tell("seen", ready=status("/ready"), live=status("/livez"))
    if "deaf" in OPTIONS:
        return
    time.sleep(float(OPTIONS.get("takes", "0")))
    tell("end")
    os._exit(int(OPTIONS.get("exits", "0")))


signal.signal(signal.SIGTERM, on_term)
for name in ("USR1", "HUP"):
    signal.signal(signal.Signals[f"SIG{name}"], lambda number, _frame: tell(signal.Signals(number).name))
if "group" in OPTIONS and os.fork() == 0:
    sit("group")
if "orphan" in OPTIONS and os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        sit("orphan")
    os._exit(0)
tell("start")
if "notify" in OPTIONS:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"READY=1\nSTATUS=serving", os.environ["NOTIFY_SOCKET"])
else:
    os.write(3, b"\n")
while True:
    time.sleep(3600)
