"""Whatever stands in the file, there is a plan or there are errors: never an exception, never both, never neither."""

import os
import pathlib
import tempfile
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import strategies

from manifest import compile as compiling
from manifest import composer, diagnostics, plan, rules
from supervisord import render
from tests.unit.manifest import manifests

OPTIONS = [
    compiling.BuildOptions(),
    compiling.BuildOptions("/p", "/tmp/run", compiling.Relocation("/m", loopback_only=True, strict=True, listen=None)),
]
slow = hypothesis.settings(max_examples=300, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))


def judge(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bootseal.yaml")
        pathlib.Path(path).write_bytes(data)
        for options in OPTIONS:
            result = compiling.load(path, options)
            has_errors = any(diagnostic.is_error for diagnostic in result.diagnostics)
            assert (result.plan is None) == has_errors
            assert all(diagnostic.code in rules.RULES for diagnostic in result.diagnostics)
            diagnostics.dump(diagnostics.to_json(result.diagnostics, path, result.text))
            rendered = diagnostics.render(result.diagnostics, "m.yaml", result.text)
            assert all(one.isprintable() or one == "\n" for one in rendered)
            if result.plan is not None:
                assert plan.parse(plan.dump(result.plan), "plan.json") == result.plan
                render.render(result.plan)


@slow
@hypothesis.given(strategies.binary(max_size=400))
def test_random_bytes(data: bytes) -> None:
    judge(data)


@slow
@hypothesis.given(strategies.text(alphabet="ab:-[]{},&*!|>'\"%@`#?~<=. \n\t\r\0\u0085\u2028é\\x1", max_size=80))
def test_random_text_of_what_yaml_is_made_of(text: str) -> None:
    judge(text.encode("utf-8", "surrogatepass"))


KEYS = [
    "version", "name", "boot", "immutable", "strict", "writable", "path", "mode", "from", "mount", "seal_timeout", "on_failure",
    "environment", "identity", "id", "env", "default", "store", "artifacts", "required", "programs", "api", "db", "command", "oneshot",
    "after", "ready", "running", "for", "directory", "stop", "signal", "timeout", "start_retries", "probes", "listen", "metrics",
    "http", "tcp", "unix", "exec", "file", "log", "notify", "fd", "watchdog", "url", "status", "headers", "body", "socket", "address",
    "live", "period", "failures", "successes", "restart", "on_exit", "on_fatal", "backoff", "cap", "reset", "limit", "within", "is",
    "bind", "drain", "grace", "signals", "HUP", "USR1", "as", "detail", "token", "secret", "secrets", "generate", "liveness_deadline",
    "mounts", "checks", "settle", "free", "writable", "mounted", "observability", "log_level", "otlp_endpoint", "logs", "features", "security",
    "enforce", "user", "tmpfs", "size", "executable", "seccomp", "deny", "exceptions", "reason", "inherits", "devices", "capabilities",
    "acknowledge", "groups", "runtime", "gpu", "resources", "memory", "cpus", "pids", "files", "deploy", "kind", "replicas", "ports", "expose",
    "storage", "desktop", "gpu-cuda", "gaussian-splatting", "playwright", "program-users", "(list)", "bootstrap", "x", "", "A B", "é", "no", "1",
]  # fmt: skip
VALUES = [
    1, 0, -1, 2, 1.5, True, False, None, "", "api", "db", "/opt", "/opt/x", "/", "relative", "10s", "1h", "0s", "9999h", "hold", "0755",
    "${here}/x", "${run}", "${writable:/opt}", "${writable:/srv/x}", "${x", "$${here}", "127.0.0.1:80", "[::1]:1", ":0", "TERM", "hostname",
    "\0", "a\nb", "% ;#", "é", "x" * 300, "yes", 10**30, float("inf"), "/srv", "/srv/x",
    "started", "ready", "exit", "degrade", "restart", "http://127.0.0.1:80/x", "http://[::1]/", "http://[", "http://a:b/", "200-399", 204,
    "(a+)+", "a|b", "\\d+ ready", "(" * 99, "${run}/x", "${run}/bootstrap.done", "WINCH", 5432, 3, "250ms",
    "none", "100MiB", "100M", "info", "json", "http://collector:4318", "ftp://x", "127.0.0.1:8081", "0.0.0.0:80",
    "desktop", "gpu-cuda", "gaussian-splatting", "playwright", "program-users", "SYS_ADMIN", "CAP_NET_RAW", "ALL", "/dev/x:rw", "/dev", "volume",
    "tmpfs", "statefulset", "nvidia", "unshare", "1000:1000", 16, 1024, "64MiB", "/run", "/tmp", "/usr",
]  # fmt: skip
scalars = strategies.sampled_from(VALUES)
trees = strategies.recursive(
    scalars,
    lambda below: (
        strategies.lists(below, max_size=4) | strategies.dictionaries(strategies.sampled_from(KEYS), below, max_size=6)
    ),
    max_leaves=25,
)


@slow
@hypothesis.given(trees)
def test_random_trees_of_known_words(tree: Any) -> None:
    judge(yaml.safe_dump(tree, allow_unicode=True).encode())


def sound() -> dict[str, Any]:
    return dict(yaml.safe_load(manifests.SOUND))


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(node, dict):
        found += [place for key, value in node.items() for place in places(value, (*path, key))]
    elif isinstance(node, list):
        found += [place for index, value in enumerate(node) for place in places(value, (*path, index))]
    return found


PLACES = places(sound())[1:]


@slow
@hypothesis.given(strategies.lists(strategies.tuples(strategies.sampled_from(PLACES), trees), min_size=1, max_size=4))
def test_a_sound_manifest_with_parts_replaced(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    manifest = sound()
    for path, value in changes:
        holder: Any = manifest
        for step in path[:-1]:
            holder = holder[step] if isinstance(holder, dict) and step in holder else None
        if isinstance(holder, dict):
            holder[path[-1]] = value
    judge(yaml.safe_dump(manifest, allow_unicode=True).encode())


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_a_sound_manifest_with_one_part_missing(path: tuple[Any, ...]) -> None:
    manifest = sound()
    holder: Any = manifest
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    judge(yaml.safe_dump(manifest).encode())


@slow
@hypothesis.given(strategies.data())
def test_a_sound_manifest_with_bytes_changed(data: strategies.DataObject) -> None:
    text = bytearray(manifests.SOUND.encode())
    for _ in range(data.draw(strategies.integers(1, 4))):
        at = data.draw(strategies.integers(0, len(text) - 1))
        text[at : at + data.draw(strategies.integers(0, 3))] = data.draw(strategies.binary(max_size=3))
    judge(bytes(text))


@pytest.mark.parametrize(
    ("section", "user"),
    [
        ("programs: {'a\t1': {command: [a]}", "b: {command: [b], after: [a1]}}"),
        ("artifacts: {'a\t1': /a}\nprograms: {b: {command: [b]", "artifacts: [a1]}}"),
        (
            "secrets: {'a\t1': {generate: 16}}\nprograms: {b: {command: [b]}}\nidentity:",
            "{keys: {nostr: {secret: a1}}}",
        ),
        (
            "secrets: {'a\t1': {generate: 16}}\nprograms: {b: {command: [b]}}\nprobes:",
            "{detail: {token: {secret: a1}}}",
        ),
    ],
)
def test_a_name_that_is_odd_is_shown_printably_where_it_is_the_nearest(section: str, user: str) -> None:
    between = "" if section.endswith(":") else ","
    judge(f"version: 1\nname: x\n{section}{between} {user}\n".encode())


def test_a_sound_manifest_cut_off_anywhere() -> None:
    """A truncated manifest is an error, or is itself a whole smaller one; it is never read as the whole."""
    whole = manifests.SOUND.encode()
    for length in range(0, len(whole) - 1, 7):
        judge(whole[:length])


def test_python_and_c_parsers_agree(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Where PyYAML was built without libyaml its own parser reads the same."""
    results = [manifests.load(tmp_path, manifests.SOUND)]
    monkeypatch.setattr(composer, "_LOADER", yaml.SafeLoader)
    results.append(manifests.load(tmp_path, manifests.SOUND))
    assert results[0].plan is not None
    assert results[0].plan == results[1].plan
