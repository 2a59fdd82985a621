"""Ready by a file of its own; then it puts a link to the run directory where its directory was, and ends.

Whoever removes ``here/boot.json`` before the next start, and follows that link with more rights than this program has, removes
the boot record.
"""

import os
import pathlib
import sys
import time

HERE = pathlib.Path("/run/planter/here")

if HERE.is_symlink():
    print("planter runs again", flush=True)
    time.sleep(3600)
HERE.mkdir()
(HERE / "boot.json").touch()
print("planter made its file", flush=True)
while not pathlib.Path("/run/bootseal/bootstrap.done").exists():
    time.sleep(0.05)
time.sleep(1.5)  # an end within the first second of a process would be a failed start
HERE.rename("/run/planter/elsewhere")
os.symlink("/run/bootseal", HERE)
sys.exit(3)
