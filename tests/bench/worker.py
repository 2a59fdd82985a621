"""``worker.c`` for where there is no compiler: the same words, the same arguments."""

import os
import signal
import socket
import sys
import time


def announce(path: str, what: str) -> None:
    """Append one line to ``path``."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, b"%s %d %d\n" % (what.encode(), time.monotonic_ns(), os.getpid()))
    os.close(fd)


def notify() -> None:
    """Send READY=1."""
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)


def main(arguments: list[str]) -> None:
    """Be the program."""
    notifies = "--notify" in arguments
    rest = iter(item for item in arguments if item != "--notify")
    values = dict(zip(rest, rest, strict=True))
    path, stop_ms = values["--announce"], int(values.get("--stop-ms", 0))
    if stop_ms:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    announce(path, "started")
    time.sleep(int(values.get("--ready-after-ms", 0)) / 1000)
    announce(path, "ready")
    if notifies:
        notify()
    if "--descriptor" in values:
        os.write(int(values["--descriptor"]), b"\n")
    if stop_ms:
        signal.sigwait({signal.SIGTERM})
        time.sleep(stop_ms / 1000)
        return
    while True:
        signal.pause()


main(sys.argv[1:])
