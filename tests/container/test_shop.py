"""The shop as its customers and its operators meet it: orders, a crash, an outage, a reload."""

import json
from typing import Any

import pytest

from tests.container import box
from tests.container.conftest import Boxes

pytestmark = pytest.mark.container


def test_an_order_passes_the_front_door_and_is_packed_by_the_worker(shop: box.Box) -> None:
    home, ordered = shop.fetch("8000/", ("8000/items", '{"name": "tea"}'))
    assert home.json["shop"] == "The Corner"
    assert ordered.status == 201
    number = ordered.json["id"]

    def is_packed(answer: box.Answer) -> bool:
        return {"id": number, "name": "tea", "state": "packed"} in answer.json["items"]

    shop.fetch_until("8000/items", is_packed)
    [figures] = shop.fetch("8002/metrics")
    assert "shop_jobs_waiting 0" in figures.text.splitlines()


@pytest.mark.parametrize("order", ["", "{}", "[]", '{"name": 7}', '{"name": ""}', "{"])
def test_a_wrong_order_is_told_what_is_right(shop: box.Box, order: str) -> None:
    [answer] = shop.fetch(("8000/items", order))
    assert answer.status == 400
    assert "name" in answer.json["error"]


FORGET = """
import http.client, json, sys
def forget(said):
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=30)
    connection.request("DELETE", "/items", None, {"Authorization": said})
    return connection.getresponse().status
print(json.dumps([forget(said) for said in json.load(sys.stdin)]))
"""


def test_only_who_has_the_operators_key_forgets_all_orders(patient: box.Box) -> None:
    key = patient.run("cat", "/run/bootseal/secrets/api/operator-key").stdout
    assert len(key) == 64
    assert json.loads(patient.python(FORGET, json.dumps(["", f"Bearer {key[:-1]}", f"Bearer {key}"]))) == [
        401,
        401,
        200,
    ]


def test_the_store_is_reached_by_its_socket_alone(shop: box.Box) -> None:
    socket = shop.host.file("/run/shop/redis.sock")
    assert socket.is_socket
    assert socket.mode == 0o700
    assert shop.host.file("/run/shop").mode == 0o700


@pytest.fixture(scope="module")
def patient(boxes: Boxes, shop_image: str) -> box.Box:
    """A shop of its own for the tests that hurt it; each leaves it ready."""
    started = boxes.start(shop_image, *box.HARDENED, *box.USER, *box.TMPFS)
    started.wait_until_sealed()
    return started


def test_the_death_of_a_required_program_is_told_and_healed(patient: box.Box) -> None:
    """It may be over before anybody asks, so the probe server's own events are asked."""
    before = patient.host.supervisor("api").pid
    seen = len(changes(patient))
    assert patient.run("sh", "-c", f"kill -KILL {before}").returncode == 0
    told = box.wait_for(lambda: changes(patient)[seen:], lambda news: len(news) >= 2)
    assert [(event["ready"], event["missing"]) for event in told[:2]] == [(False, ["api"]), (True, [])]
    assert "api" in told[0]["reason"]
    patient.fetch_until("8080/ready", lambda answer: answer.status == 200)
    assert patient.host.supervisor("api").pid != before
    assert patient.run("bootseal", "verify").returncode == 0


def changes(container: box.Box) -> list[dict[str, Any]]:
    return [event for event in container.events() if event["event"] == "ReadinessChanged"]


def test_the_death_of_an_optional_program_leaves_the_container_ready(patient: box.Box) -> None:
    assert patient.run("supervisorctl", "stop", "exporter").returncode == 0
    assert [answer.status for answer in patient.fetch("8080/ready", "8002/metrics")] == [200, 0]
    assert patient.run("supervisorctl", "start", "exporter").returncode == 0


def test_a_stopped_required_program_is_an_outage_until_it_is_started(patient: box.Box) -> None:
    assert patient.run("supervisorctl", "stop", "frontdoor").returncode == 0
    outage = patient.fetch_until("8080/ready", lambda answer: answer.status == 503)
    assert "frontdoor" in [missing["id"] for missing in outage.json["missing"]]
    assert patient.run("supervisorctl", "start", "frontdoor").returncode == 0
    patient.fetch_until("8080/ready", lambda answer: answer.status == 200)


def test_a_seal_that_was_tampered_with_is_not_ready(patient: box.Box) -> None:
    edit = "import os, sys; p = '/run/bootseal/bootstrap.done'; d = open(p).read(); os.rename(p, p + '.kept')\n"
    edit += "open(p, 'w').write(d.replace('\"api\"', '\"ipa\"'))"
    patient.python(edit)
    patient.fetch_until("8080/ready", lambda answer: answer.status == 503)
    assert patient.run("bootseal", "verify").returncode != 0
    patient.python("import os; p = '/run/bootseal/bootstrap.done'; os.rename(p + '.kept', p)")
    patient.fetch_until("8080/ready", lambda answer: answer.status == 200)


def test_a_reload_is_a_new_generation_and_sealed_again(patient: box.Box) -> None:
    seal = "/run/bootseal/bootstrap.done"
    before = json.loads(patient.host.file(seal).content_string)
    assert patient.run("supervisorctl", "reload").returncode == 0
    generation = before["generation"] + 1
    patient.fetch_until(
        "8080/startupz", lambda answer: answer.status == 200 and answer.json["generation"] == generation
    )
    patient.wait_until_sealed()
    after = json.loads(patient.host.file(seal).content_string)
    assert after["generation"] == generation
    assert after["boot_id"] == before["boot_id"]
    assert after["pid1_start"] == before["pid1_start"]
    assert patient.run("bootseal", "verify").returncode == 0
