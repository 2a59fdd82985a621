"""A program of the vault: it tells the digests of the secrets that it was given, as one line of JSON.

With VAULT_LEAKS set, the api prints those of its secrets that are text, and fails. The neighbour, which is named for none, tells what of the others it can
open; it is ready, and so the container sealed, only after it tried PID 1, the seal program, the probe server, the api and itself.
"""

import errno
import hashlib
import json
import os
import pathlib
import signal
import sys
import time
import urllib.request

RUN = "/run/bootseal"
VARIABLES = ("API_KEY", "SPARE", "TOKEN")
PLACES = ("environ", "mem", "maps", "fd")
FOUND_BY = {"seal": ["-m", "seal"], "probes": ["-m", "probes"], "api": ["/opt/vault/program.py", "api"]}


def given() -> dict[str, bytes]:
    """Return every secret that this program has, a file by its name and a variable as ``$NAME``."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    files = {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()} if folder else {}
    return files | {f"${name}": os.environb[name.encode()] for name in VARIABLES if name in os.environ}


def pids() -> dict[str, int]:
    """Return the pids of those that the neighbour tries."""
    found = {"pid1": 1, "neighbour": os.getpid()}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{name}/cmdline").read_text().split("\0")
        except OSError:  # it ended meanwhile
            continue
        for other, marks in FOUND_BY.items():
            if any(words[at : at + 2] == marks for at in range(len(words))):
                found[other] = int(name)
    return found


def opened(pid: int, place: str) -> str:
    """Return what comes of reading: ``opened``, or the name of an errno."""
    path = f"/proc/{pid}/{place}"
    try:
        if place == "fd":
            os.listdir(path)
        else:
            os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "opened"


def until_ours_have_begun() -> None:
    """Wait for the seal program's first event and the probe server's first answer: what they are by then, they stay."""
    while "BootstrapSealStarted" not in pathlib.Path(f"{RUN}/events.jsonl").read_text():
        time.sleep(0.02)
    with urllib.request.urlopen("http://127.0.0.1:8080/livez", timeout=30) as answer:
        answer.read()


def main(name: str) -> None:
    if name == "api" and os.environ.get("VAULT_LEAKS"):
        for value in filter(bytes.isascii, given().values()):
            print("the api leaks", value.decode().strip(), file=sys.stderr)
        raise SystemExit(7)
    told = {"program": name, "given": {key: hashlib.sha256(value).hexdigest() for key, value in given().items()}}
    if name == "neighbour":
        until_ours_have_begun()
        told["opened"] = {other: {place: opened(pid, place) for place in PLACES} for other, pid in pids().items()}
    print(json.dumps(told))
    print(f"{name}: ready")
    signal.pause()


main(sys.argv[1])
