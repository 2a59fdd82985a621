"""Writes the greeting to the file that its argument names, and is done."""

import os
import socket
import sys


def main(path: str) -> None:
    """Write the greeting to ``path``, whole or not at all."""
    partial = f"{path}.partial"
    with open(partial, "w", encoding="utf-8") as file:
        file.write(f"Hello from {socket.gethostname()}!\n")
    os.replace(partial, path)
    print(f"prepare: wrote {path}")


if __name__ == "__main__":
    main(sys.argv[1])
