"""The neighbour that is attacked: it holds two secrets, writes to its own directory, and says which signals it was sent."""

import os
import pathlib
import signal
import socket

CATCHABLE = set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTERM}


def main() -> None:
    for number in CATCHABLE:
        signal.signal(number, lambda number, _frame: print(f"victim was sent signal {number}", flush=True))
    secret = pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"], "victim-file").read_bytes()
    memory = [secret.decode(), os.environ["VICTIM_TOKEN"]]
    pathlib.Path("/run/victim/state").write_text("untouched")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1\nSTATUS=the victim itself", os.environ["NOTIFY_SOCKET"])
    while memory:
        signal.pause()


main()
