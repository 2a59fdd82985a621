"""The order of a plan as a picture."""

import json
import re

import pytest

from manifest import drawing, plan
from tests.unit import boots

REDIS = boots.program("redis", ready=boots.ready(plan.UNIX, check=boots.check(plan.UNIX, path="/srv/r.sock")))
MIGRATE = boots.program("migrate", oneshot=True, rank=1, after=boots.needs("redis"))
API = boots.program(
    "api", rank=2, after=(*boots.needs("migrate"), *boots.needs("redis", condition=plan.STARTED, bind=True))
)
END = boots.program("end", required=False, rank=3, after=boots.needs("api", condition=plan.STARTED))
BOUND = boots.program("bound", rank=3, after=boots.needs("api", bind=True))
SHOP = boots.make_plan(REDIS, MIGRATE, API, END, BOUND)


def test_the_text_shows_ranks_proofs_and_needs() -> None:
    assert drawing.text(SHOP).splitlines()[:-1] == [
        "rank 0",
        "  redis    ready by unix /srv/r.sock",
        "rank 1",
        "  migrate  one-shot, ready by exit 0",
        "           after redis",
        "rank 2",
        "  api      ready by running for 1s",
        "           after migrate, redis (started, bound)",
        "rank 3",
        "  end      optional, ready by running for 1s",
        "           after api (started)",
        "  bound    ready by running for 1s",
        "           after api (bound)",
    ]


def test_the_last_line_says_how_long_a_stop_may_take() -> None:
    assert (
        drawing.text(SHOP).splitlines()[-1].startswith("stops within 30s: rank 3 11s (end, bound), rank 2 11s (api), ")
    )


def test_mermaid_tells_kinds_of_program_and_of_need_apart() -> None:
    assert drawing.mermaid(SHOP).splitlines() == [
        "flowchart LR",
        '    p0["redis<br/>unix"]',
        '    p1(["migrate<br/>exit"])',
        '    p2["api<br/>running"]',
        '    p3["end<br/>running"]:::optional',
        '    p4["bound<br/>running"]',
        "    p0 --> p1",
        "    p1 --> p2",
        "    p0 ==>|started| p2",
        "    p2 -.-> p3",
        "    p2 ==> p4",
        "    classDef optional stroke-dasharray: 5 5",
    ]


def test_no_name_is_a_word_of_mermaid() -> None:
    """``end`` alone would close a subgraph."""
    words = re.sub(r'"[^"]*"', "", drawing.mermaid(SHOP)).split()
    assert {"end", "api", "redis"} & set(words) == set()


def test_json_holds_what_tools_need() -> None:
    said = json.loads(json.dumps(drawing.to_json(SHOP)))
    assert said["stop"] == {"drain_seconds": 0.0, "grace_seconds": None, "budget_seconds": 30.0}
    assert said["programs"][2] == {
        "name": "api",
        "rank": 2,
        "required": True,
        "oneshot": False,
        "ready": "running",
        "after": [
            {"name": "migrate", "condition": "ready", "bind": False},
            {"name": "redis", "condition": "started", "bind": True},
        ],
        "stop_timeout_seconds": 10.0,
    }


def check(kind: str, **changes: object) -> plan.ReadyPlan:
    return boots.ready(kind, check=boots.check(kind, **changes))


@pytest.mark.parametrize(
    ("ready", "said"),
    [
        (boots.ready(plan.RUNNING, timeout_seconds=30.0), "running for 1s within 30s"),
        (boots.ready(plan.NOTIFY), "notify"),
        (boots.ready(plan.NOTIFY, watchdog_seconds=0.5), "notify, watchdog 0.5s"),
        (boots.ready(plan.DESCRIPTOR, descriptor=3), "a newline on descriptor 3"),
        (boots.ready(plan.LOG, pattern="a\x1bb"), "a line that matches `a\\x1bb`"),
        (boots.ready(plan.FILE, path="/run/x"), "the file /run/x"),
        (check(plan.HTTP, url="http://127.0.0.1/"), "http http://127.0.0.1/"),
        (check(plan.HTTP, url="http://127.0.0.1/", path="/s"), "http http://127.0.0.1/ over /s"),
        (check(plan.TCP, host="::1", port=80), "tcp [::1]:80"),
        (check(plan.EXEC, argv=("redis-cli", "a\nb")), "exec redis-cli a\\nb"),
        (check(plan.EXEC, argv=("x" * 500,)), f"exec {'x' * 60}…"),
    ],
)
def test_a_proof_is_said_in_few_words_that_a_terminal_can_take(ready: plan.ReadyPlan, said: str) -> None:
    assert drawing.describe(ready) == said


def test_nothing_to_draw_is_drawn() -> None:
    nothing = boots.make_plan(*boots.own_programs(), programs=boots.own_programs())
    assert drawing.mermaid(nothing) == "flowchart LR\n"
    assert drawing.text(nothing) == "stops within 30s: probes 11s\n"
