"""Listen where the manifest says nothing, open a directory to everybody, and log what is critical."""

import os
import signal
import socket

os.chmod("/run/opened", 0o777)
listener = socket.create_server(("0.0.0.0", 9100))
print("CRIT the disk is gone")
print("listening")
signal.pause()
