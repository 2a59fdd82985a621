"""Change what boot and seal wrote, as any program of the container's own user can."""

import os

RUN = "/run/bootseal"
os.chmod(f"{RUN}/bootstrap.done", 0o644)
with open(f"{RUN}/bootstrap.done", "rb+") as file:
    data = file.read()
    file.seek(0)
    file.write(data.replace(b'"late": false', b'"late":  false'))
os.chmod(f"{RUN}/identity/id", 0o666)
os.chmod(f"{RUN}/keys/ed25519.key", 0o644)
os.chmod(f"{RUN}/supervisor.sock", 0o777)
os.mkdir(f"{RUN}/secrets", 0o700)
os.chmod(RUN, 0o777)
