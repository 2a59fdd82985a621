"""The JSON Schema for editors agrees with the compiler on what one value may be."""

import copy
import json
import pathlib
from typing import Any

import jsonschema
import pytest
import yaml

from manifest import compile as compiling
from manifest import model, readiness, schema, structure
from tests.unit.manifest import manifests

EXAMPLES = sorted((pathlib.Path(__file__).parents[3] / "examples").glob("*/bootseal.yaml"))


@pytest.fixture(scope="module")
def validator() -> Any:
    document = json.loads(schema.dump())
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def faults(validator: Any, text: str) -> list[str]:
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


def test_there_are_examples() -> None:
    assert "hello" in [path.parent.name for path in EXAMPLES]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_compiles_without_a_word_and_fits_the_schema(path: pathlib.Path, validator: Any) -> None:
    result = compiling.load(str(path))
    assert result.plan is not None
    assert result.diagnostics == ()
    assert faults(validator, path.read_text()) == []


def test_a_manifest_with_every_key_fits_the_schema(validator: Any) -> None:
    assert faults(validator, manifests.SOUND) == []
    assert faults(validator, "version: 1\nname: x\nrequired: []\n") == []


SHORT = {
    "a writable root": "boot: {writable: [/x, {path: /y}]}",
    "an artifact": "artifacts: {t: /t, u: {path: /u}}",
    "an expression as a path": 'artifacts: {t: "${here}/t"}',
    "an identity": "identity: {id: node-1}",
    "a mode as a number": "boot: {writable: [{path: /x, mode: 755}]}",
    "a mapping of what comes before": "programs: {a: {command: [a], after: {b: started, c: {is: ready, bind: true}}}}",
    "a mixed list of what comes before": "programs: {a: {command: [a], after: [b, {c: started}]}}",
    "a URL": "programs: {a: {command: [a], ready: {http: 'http://127.0.0.1/'}}}",
    "a port": "programs: {a: {command: [a], ready: {tcp: 5432, timeout: 3s}}}",
    "an address": "programs: {a: {command: [a], ready: {tcp: '[::1]:5432'}}}",
    "a socket": "programs: {a: {command: [a], ready: {unix: '${run}/a.sock'}}}",
    "a command as a check": "programs: {a: {command: [a], ready: {exec: [a, 1]}}}",
    "a status as a number": "programs: {a: {command: [a], ready: {http: {url: 'http://[::1]/', status: 204}}}}",
    "no live check": "programs: {a: {command: [a], live: false}}",
    "the other proofs": "programs: {a: {command: [a], ready: {notify: true, watchdog: 10s}}, b: {command: [b], ready: {fd: 3}}}",
    "programs of a signal": "signals: {USR2: [a], HUP: {programs: [a], as: KILL}}",
    "a mount": "ready: {mounts: [/x, {path: /y, free: 0}]}",
    "an address of detail": "probes: {detail: '127.0.0.1:8081'}",
    "no address of detail": "probes: {detail: none}",
    "a token": "probes: {detail: {token: {file: /t}}}",
    "checks of the container": "ready: {checks: {a: {tcp: 5432}, b: {http: 'http://127.0.0.1/'}, c: {unix: /c}}}",
    "ports": "programs: {a: {command: [a], ports: ['0.0.0.0:80', {listen: '[::]:81', expose: true}]}}",
    "a reason alone": "features: [desktop]\nsecurity: {exceptions: {desktop: a screen}}",
    "one to inherit from": "security: {exceptions: {x: {reason: y, inherits: desktop, groups: [7], devices: ['/dev/x:r']}}}",
    "a file system in memory": "security: {tmpfs: {/x: 1GiB, /y: {size: 1MiB, mode: 1777}}, seccomp: [unshare]}",
    "limits": "resources: {memory: 2GiB, cpus: 1.5, pids: 100, files: 2048}",
    "half a CPU as text": "resources: {cpus: '0.5'}",
    "storage": "boot: {writable: [{path: /x, storage: volume, size: 1GiB}]}",
    "a deployment": "deploy: {kind: pod, replicas: 1}",
    "a number as an argument": "programs: {a: {command: [a, 1, 1.5, true]}}",
}


@pytest.mark.parametrize("text", SHORT.values(), ids=SHORT)
def test_the_schema_accepts_shorthands(text: str, validator: Any) -> None:
    assert faults(validator, f"version: 1\nname: x\n{text}\n") == []


WRONG = {
    "an unknown key": "bogus: 1",
    "an unknown key in a program": "programs: {a: {command: [a], bogus: 1}}",
    "no command": "programs: {a: {}}",
    "an empty command": "programs: {a: {command: []}}",
    "a command as text": "programs: {a: {command: run}}",
    "a name that is none": "programs: {A_b: {command: [a]}}",
    "a duration without a unit": "boot: {seal_timeout: 120}",
    "no duration": 'boot: {seal_timeout: ""}',
    "a relative path": "boot: {writable: [x]}",
    "an unknown signal": "programs: {a: {command: [a], stop: {signal: X}}}",
    "a variable with a dash": "programs: {a: {command: [a], environment: {A-B: 1}}}",
    "a boolean as text": 'boot: {strict: "yes"}',
    "null": "boot: {writable: null}",
    "null as a program's directory": "programs: {a: {command: [a], directory: null}}",
    "too many retries": "programs: {a: {command: [a], start_retries: 1001}}",
    "a required list": "required: [a]",
    "a condition that is none": "programs: {a: {command: [a]}, b: {command: [b], after: {a: up}}}",
    "https": "programs: {a: {command: [a], ready: {http: 'https://127.0.0.1/'}}}",
    "a standard stream": "programs: {a: {command: [a], ready: {fd: 2}}}",
    "no port": "programs: {a: {command: [a], ready: {tcp: 127.0.0.1}}}",
    "a status out of range": "programs: {a: {command: [a], ready: {http: {url: 'http://127.0.0.1/', status: 700}}}}",
    "a check as true": "programs: {a: {command: [a], live: true}}",
    "an empty expression": "programs: {a: {command: [a], ready: {log: ''}}}",
    "an outcome that is none": "programs: {a: {command: [a], on_exit: stop}}",
    "no limit": "programs: {a: {command: [a], restart: {limit: 0}}}",
    "a signal that is not passed on": "signals: {TERM: [a]}",
    "a signal for nobody": "signals: {USR1: []}",
    "a number as an address of detail": "probes: {detail: 8081}",
    "a size without a unit": "ready: {mounts: [{path: /x, free: 100}]}",
    "a size in another unit": "ready: {mounts: [{path: /x, free: 100M}]}",
    "a command as the container's check": "ready: {checks: {a: {exec: [a]}}}",
    "an unknown log level": "observability: {log_level: trace}",
    "an endpoint with a user": "observability: {otlp_endpoint: 'http://a@b'}",
    "another form of logs": "logs: xml",
    "a file system without a limit": "security: {tmpfs: {/x: 0}}",
    "no memory": "resources: {memory: 0}",
    "storage of nothing": "boot: {writable: [{path: /x, size: 0}]}",
    "another storage": "boot: {writable: [{path: /x, storage: disk}]}",
    "too few processes": "resources: {pids: 1}",
    "too few descriptors": "resources: {files: 100}",
    "a device elsewhere": "security: {exceptions: {x: {reason: y, devices: [/etc/x]}}}",
    "an exception without a reason": "security: {exceptions: {x: {}}}",
    "another GPU": "security: {exceptions: {x: {reason: y, gpu: intel}}}",
    "a user by name": "security: {user: me}",
    "a baseline to take away": "security: {read_only: false}",
    "a system call that is none": "security: {seccomp: [A-B]}",
    "another kind of workload": "deploy: {kind: daemonset}",
    "fewer than no replicas": "deploy: {replicas: -1}",
    "a port without a host": "programs: {a: {command: [a], ports: [80]}}",
    "not running": "programs: {a: {command: [a], ready: {running: false}}}",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_the_schema_refuses_what_the_compiler_refuses(text: str, validator: Any, tmp_path: pathlib.Path) -> None:
    whole = f"version: 1\nname: x\n{text}\n"
    assert faults(validator, whole) != []
    assert manifests.load(tmp_path, whole).plan is None


def test_another_version_is_refused(validator: Any) -> None:
    assert faults(validator, "version: 2\nname: x\n") != []


def test_every_key_is_described() -> None:
    def walk(node: Any, where: str) -> list[str]:
        missing = []
        for name, below in node.get("properties", {}).items():
            if not {"description", "$ref"} & set(below):  # what is referred to is described itself
                missing.append(f"{where}.{name}")
        for option in node.get("anyOf", []):
            missing += walk(option, where)
        return missing

    document = schema.document()
    undescribed = [*walk(document, ""), *(m for name, one in document["$defs"].items() for m in walk(one, name))]
    assert undescribed == []
    assert all("description" in one for one in document["$defs"].values())


def test_the_schema_is_the_same_every_time() -> None:
    assert schema.dump() == schema.dump()
    before = copy.deepcopy(schema.document())
    schema.dump()
    assert schema.document() == before


def test_the_schema_speaks_of_nothing_but_the_manifest() -> None:
    text = schema.dump()
    assert '"title": "bootseal manifest"' in text
    assert text.count('"title"') == 1
    assert "null" not in text


def test_the_documentation_names_every_key() -> None:
    document = (pathlib.Path(__file__).parents[3] / "docs" / "manifest.md").read_text()
    sections = [
        (),
        ("boot",),
        ("boot", "writable", 0),
        ("identity",),
        ("identity", "id"),
        ("identity", "keys", "x"),
        ("secrets", "x"),
        ("artifacts", "x"),
        ("artifacts", "x", "check"),
        ("security",),
        ("security", "exceptions"),
        ("security", "exceptions", "program-users"),
        ("security", "tmpfs", "/x"),
        ("security", "seccomp"),
        ("resources",),
        ("deploy",),
        ("programs", "x", "ports", 0),
        ("probes",),
        ("probes", "detail"),
        ("probes", "detail", "token"),
        ("ready",),
        ("ready", "mounts", 0),
        ("ready", "checks", "x"),
        ("observability",),
    ]
    below = [(), ("stop",), ("restart",), ("after", 0, "y"), ("ready",), ("live",)]
    below += [("ready", kind) for kind in readiness.CHECKS]
    sections += [("programs", "x", *path) for path in below] + [("stop",), ("signals", "HUP")]
    keys = {key for section in sections for key in structure.known_keys(section)}
    assert [key for key in sorted(keys) if f"`{key}`" not in document] == []
    assert set(model.Manifest.model_fields) <= keys
