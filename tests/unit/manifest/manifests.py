"""Manifests for tests: a sound one, and ways to say what is wrong with one that is not."""

import pathlib

from manifest import compile as compiling

SOUND = """\
version: 1
name: sample
boot:
  immutable: [/opt/app]
  strict: true
  writable:
    - {path: /workspace, mode: "0750", from: /opt/app/skel, mount: required}
    - {path: /var/lib/app, storage: tmpfs, size: 8MiB}
  seal_timeout: 1m30s
  on_failure: hold
  environment: [DATABASE_URL]
identity:
  id: {env: AGENT_ID, default: hostname}
  store: /var/lib/app/identity
artifacts:
  api: {path: /opt/app/api.py, required: true}
  tool: /opt/app/tool
programs:
  migrate: {command: [/opt/app/migrate], oneshot: true}
  api:
    command: [python3, "${here}/api.py", --port, 9090]
    required: true
    after: [{migrate: {is: ready}}]
    ready: {running: true, for: 2s, timeout: 30s}
    on_exit: restart
    on_fatal: exit
    restart: {backoff: 100ms, cap: 10s, reset: 2m, limit: 5, within: 30s}
    environment: {PORT: 9090, DATA: "${writable:/workspace}/data"}
    directory: /opt/app
    stop: {signal: INT, timeout: 20s}
    start_retries: 5
    artifacts: [api, tool]
  helper:
    command: [helper]
    required: false
    after: {api: {is: started, bind: true}, migrate: ready}
    ready: {http: {url: "http://localhost:9090/x?y", status: 200-399, headers: {Host: a}, body: "o+k", socket: "${run}/h.sock", timeout: 2s}}
    live: {exec: {command: [ping, "${here}/x"], timeout: 3s}, period: 5s, timeout: 4s, failures: 2, successes: 2, restart: true}
    ports: [{listen: "0.0.0.0:9090", expose: true}, "127.0.0.1:9092"]
stop: {drain: 5s, grace: 60s}
signals: {USR1: [helper], HUP: {programs: [api, helper], as: WINCH}}
secrets:
  token: {generate: 32}
probes:
  listen: "127.0.0.1:8080"
  metrics: "[::1]:9091"
  liveness_deadline: 45s
  detail: {listen: "[::1]:8081", token: {secret: token}}
ready:
  mounts:
    - {path: /workspace/cache, free: 100MiB, writable: true, mounted: true, required: false}
    - /etc/app
  checks:
    relay: {tcp: {address: "10.0.0.5:7777", timeout: 2s}, period: 3s, failures: 2, successes: 4, required: false}
    broker: {unix: "${writable:/var/lib/app}/b.sock"}
  settle: 5s
features: [scanner, desktop]
security:
  enforce: true
  user: "2000:3000"
  tmpfs: {/cache: {size: 32MiB, mode: "0700", executable: true}, /run/user: 16MiB}
  seccomp: {deny: [unshare]}
  exceptions:
    desktop: a screen
    scanner:
      reason: raw sockets
      inherits: [desktop]
      devices: ["/dev/x:rw"]
      tmpfs: {/scan: 16MiB}
      capabilities: [NET_RAW]
      acknowledge: [NET_RAW]
      groups: [video, 7]
      runtime: kata
      gpu: amd
resources: {memory: 2GiB, cpus: 1.5, pids: 256, files: 8192}
observability: {log_level: debug, otlp_endpoint: "http://collector:4318/x/"}
logs: prefixed
"""

SMALL = "version: 1\nname: x\nprograms:\n  a: {command: [a]}\n"


def load(folder: pathlib.Path, text: str | bytes, options: compiling.BuildOptions | None = None) -> compiling.Result:
    """Compile ``text`` as the file bootseal.yaml in ``folder``."""
    path = folder / "bootseal.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return compiling.load(str(path), options)


def codes(result: compiling.Result) -> list[str]:
    """Return the codes of the diagnostics in ``result``."""
    return [diagnostic.code for diagnostic in result.diagnostics]
