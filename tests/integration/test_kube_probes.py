"""The probes that are rendered for Kubernetes, asked by the model of the kubelet's workers (``kubelet.py``) of a real boot.

What is driven is read from the rendered YAML: paths, periods, timeouts and thresholds. The listener is on loopback, as everything
here is; the plan that is rendered says 0.0.0.0, without which there are no probes.
"""

import dataclasses
import os
import signal
from pathlib import Path

import kubelet
import tree as trees
import yaml

from container import kube, rendering
from manifest import plan

IMAGE = rendering.image(f"registry.example/tree@sha256:{'0' * 64}")
KINDS = {"startupProbe": kubelet.STARTUP, "readinessProbe": kubelet.READINESS, "livenessProbe": kubelet.LIVENESS}


def rendered(tree: trees.Tree) -> dict[str, kubelet.Probe]:
    """Return the probes that are rendered of the plan that ``tree`` boots."""
    loaded = plan.load(str(tree.plan_directory))
    open_ = dataclasses.replace(loaded.plan, probes=dataclasses.replace(loaded.plan.probes, host="0.0.0.0"))
    text = kube.render(
        dataclasses.replace(loaded, plan=open_), rendering.Options(IMAGE, "tree", "bootseal render kube")
    )
    [container] = next(yaml.safe_load_all(text))["spec"]["template"]["spec"]["containers"]
    assert {container[name]["httpGet"]["port"] for name in KINDS} == {tree.port}
    return {
        kind: kubelet.Probe(
            container[name]["httpGet"]["path"],
            container[name]["periodSeconds"],
            container[name]["timeoutSeconds"],
            container[name]["failureThreshold"],
        )
        for name, kind in KINDS.items()
    }


GO = "go"
"""While this file is in the run directory, the program gets ready."""


def waiting() -> dict[str, object]:
    """Return a program that is ready, after each start, once GO is there."""
    made = "while [ ! -e $GO ]; do sleep 0.05; done; echo > $READY; exec sleep 1000"
    return {
        "command": ["sh", "-c", made],
        "environment": {"READY": "${run}/waiting.ready", "GO": f"${{run}}/{GO}"},
        "ready": {"file": "${run}/waiting.ready"},
    }


def let_go(tree: trees.Tree) -> None:
    Path(tree.run.path, GO).touch()


def test_questions_that_are_refused_before_anything_listens_do_not_end_a_boot(tree: trees.Tree) -> None:
    """The kubelet asks from the first moment, and each refused question is a failure of its threshold."""
    tree.build({"programs": {"waiting": waiting()}})
    with kubelet.Kubelet(tree.port, rendered(tree)) as model:
        refused = trees.wait_until(lambda: model.outcomes(kubelet.STARTUP)[2:], "three questions were refused")
        assert all(one.status is None for one in refused)
        tree.start()
        trees.wait_until(lambda: tree.get("/livez")[0] == 200, "the port is open")
        let_go(tree)
        trees.wait_until(model.is_ready, "ready for the kubelet")
        assert not model.killed_by
        startup = model.outcomes(kubelet.STARTUP)
        assert startup[-1].status == 200
        assert model.outcomes(kubelet.READINESS)[0].asked >= startup[-1].answered


def test_a_boot_takes_one_held_question_once_it_listens(tree: trees.Tree) -> None:
    tree.build({"programs": {"waiting": waiting()}})
    tree.start()
    trees.wait_until(lambda: tree.get("/livez")[0] == 200, "the port is open")
    with kubelet.Kubelet(tree.port, rendered(tree)) as model:
        let_go(tree)
        trees.wait_until(model.is_ready, "ready for the kubelet")
        assert [one.status for one in model.outcomes(kubelet.STARTUP)] == [200]


def test_an_outage_is_learnt_of_and_is_no_reason_to_restart(tree: trees.Tree) -> None:
    probes = {"listen": f"127.0.0.1:{tree.port}", "liveness_deadline": "10s"}
    tree.build({"programs": {"waiting": waiting()}, "probes": probes})
    tree.start()
    trees.wait_until(lambda: tree.get("/livez")[0] == 200, "the port is open")
    let_go(tree)
    tree.wait_ready()
    with kubelet.Kubelet(tree.port, rendered(tree)) as model:
        trees.wait_until(model.is_ready, "ready for the kubelet")
        Path(tree.run.path, GO).unlink()
        pid = tree.program("waiting").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        trees.wait_until(lambda: not model.is_ready(), "unready for the kubelet")
        before = len(model.outcomes(kubelet.LIVENESS))
        enough = before + rendered(tree)[kubelet.LIVENESS].failure_threshold
        trees.wait_until(
            lambda: len(model.outcomes(kubelet.LIVENESS)) >= enough or model.killed_by, "liveness was asked"
        )
        assert not model.killed_by
        let_go(tree)
        trees.wait_until(model.is_ready, "ready again for the kubelet")
        assert not model.killed_by


def test_a_wedged_pid_1_is_ended_by_liveness_and_by_nothing_else(tree: trees.Tree) -> None:
    probes = {"listen": f"127.0.0.1:{tree.port}", "liveness_deadline": "5s"}
    tree.build({"programs": {"sleeper": {"command": ["sleep", "1000"]}}, "probes": probes})
    tree.start()
    tree.wait_ready()
    with kubelet.Kubelet(tree.port, rendered(tree)) as model:
        trees.wait_until(model.is_ready, "ready for the kubelet")
        os.kill(tree.pid, signal.SIGSTOP)
        trees.wait_until(lambda: model.killed_by, "the kubelet ends the container")
        assert model.killed_by == kubelet.LIVENESS
    os.kill(tree.pid, signal.SIGCONT)
