"""A model of the kubelet's probe workers, to ask what a held probe is worth: no claim is made about a real kubelet.

Built from what Kubernetes documents ("Configure Liveness, Readiness and Startup Probes"; the v1.Probe API reference) and from how
its worker is written (kubernetes v1.30, pkg/kubelet/prober/worker.go and prober_manager.go, pkg/probe/http/http.go):

* One serial worker for each probe of a container: it never asks twice at a time, and a slow answer delays its next question.
* It asks at once when the container runs, then at each tick of a period of whole seconds. A tick that nobody waits for is kept, one
  at most; the others are lost (Go's time.Ticker).
* While a startup probe is defined and has not succeeded, readiness and liveness ask nothing. Once it has, its worker ends, and the
  readiness worker is triggered at once.
* Each HTTP question is a connection of its own with ``Connection: close``; 200 to 399 is success; anything else, a refused connection
  and no answer within ``timeoutSeconds`` are failures.
* ``failureThreshold`` or ``successThreshold`` equal outcomes in a row make a result; startup and liveness succeed at the first. A
  failed startup or liveness ends the container.
"""

import dataclasses
import http.client
import threading
import time
from typing import Self

STARTUP, READINESS, LIVENESS = "startup", "readiness", "liveness"
_HEADERS = {"User-Agent": "kube-probe/1.30", "Accept": "*/*", "Connection": "close"}


@dataclasses.dataclass(frozen=True)
class Probe:
    """The fields of v1.Probe that count; periods and timeouts are whole seconds."""

    path: str
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3
    success_threshold: int = 1


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One question; ``status`` is None when there was no answer in time. Moments are monotonic seconds."""

    kind: str
    asked: float
    answered: float
    status: int | None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 400


@dataclasses.dataclass(frozen=True)
class Standing:
    """A worker's result (None: none yet), and how many outcomes in a row were like the last."""

    result: bool | None = None
    last: bool | None = None
    run: int = 0

    def after(self, probe: Probe, *, is_success: bool) -> "Standing":
        """Return what stands after an outcome."""
        run = self.run + 1 if is_success == self.last else 1
        enough = run >= (probe.success_threshold if is_success else probe.failure_threshold)
        return Standing(is_success if enough else self.result, is_success, run)


class Ticker:
    """Go's time.Ticker: at most one tick is kept for who is not there; times are given."""

    def __init__(self, now: float, period_seconds: float) -> None:
        self._began = now
        self._period = period_seconds
        self._taken = 0

    def next_at(self, now: float) -> float:
        """Return the moment of the tick that a wait begun at ``now`` ends with, ``now`` when one was kept."""
        passed = int((now - self._began) / self._period)
        if passed > self._taken:
            self._taken = passed
            return now
        self._taken = passed + 1
        return self._began + self._taken * self._period


class Kubelet:
    """The probe workers of one container that listens on ``port``."""

    def __init__(self, port: int, probes: dict[str, Probe]) -> None:
        self._port = port
        self._probes = probes
        self._outcomes: list[Outcome] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._triggered = threading.Event()
        self._is_started = STARTUP not in probes
        self._standing = dict.fromkeys(probes, Standing())
        self.killed_by = ""
        """The probe whose failure ended the container, "" for none."""
        self._threads = [threading.Thread(target=self._work, args=(kind,), daemon=True) for kind in probes]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._triggered.set()
        for thread in self._threads:
            thread.join()

    def outcomes(self, kind: str) -> list[Outcome]:
        """Return every question of the probe ``kind`` so far."""
        with self._lock:
            return [one for one in self._outcomes if one.kind == kind]

    def is_ready(self) -> bool:
        """Say whether the container counts as ready: started, and its readiness probe has succeeded."""
        with self._lock:
            return self._is_started and self._standing[READINESS].result is True

    def _work(self, kind: str) -> None:
        probe = self._probes[kind]
        ticker = Ticker(time.monotonic(), probe.period_seconds)
        while not self._over.is_set() and self._may_go_on(kind, probe):
            pause = ticker.next_at(time.monotonic()) - time.monotonic()
            if kind != READINESS:
                self._over.wait(max(0.0, pause))
            elif self._triggered.wait(max(0.0, pause)):
                if self._over.is_set():
                    return
                self._triggered.clear()

    def _may_go_on(self, kind: str, probe: Probe) -> bool:
        """Ask once, where it is this probe's turn; say whether the worker lives on."""
        with self._lock:
            is_started = self._is_started
        if self.killed_by or (kind == STARTUP and is_started):
            return False
        if kind != STARTUP and not is_started:
            return True
        outcome = self._ask(kind, probe)
        with self._lock:
            self._outcomes.append(outcome)
            standing = self._standing[kind] = self._standing[kind].after(probe, is_success=outcome.is_success)
            if kind == STARTUP and standing.result is True:
                self._is_started = True
                self._triggered.set()
            if kind in {STARTUP, LIVENESS} and standing.result is False:
                self.killed_by = kind
        return True

    def _ask(self, kind: str, probe: Probe) -> Outcome:
        asked = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=probe.timeout_seconds)
        try:
            connection.request("GET", probe.path, headers=_HEADERS)
            response = connection.getresponse()
            response.read(10 * 1024)
            status: int | None = response.status
        except (OSError, http.client.HTTPException):
            status = None
        finally:
            connection.close()
        return Outcome(kind, asked, time.monotonic(), status)
