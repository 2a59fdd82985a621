"""Who may read detail: decided from the plan, the client's address, its headers and the token's file."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifest import serving
from probes import access
from tests.unit import boots

TOKEN = b"correct horse battery"
FAR = "10.0.0.7"


def plan(reach, token_file=None, host="127.0.0.1"):
    own = ("127.0.0.2", 8081) if reach == serving.OWN else (None, None)
    return boots.listening(host=host, detail=serving.DetailPlan(reach, *own, token_file))


def judge(plan_, asked, token):
    """Decide as the server does, which reads the token aside."""
    refusal, path = access.judge_client(plan_, asked), access.wanted_token(plan_, asked)
    if refusal is not None or path is None:
        return refusal
    try:
        return access.judge_token(asked, token(path))
    except access.NoToken as error:
        return access.closed(error)


def status(plan_, token=lambda _path: TOKEN, **asked):
    refusal = judge(plan_, access.Asked(**({"client": FAR, "path": "/health"} | asked)), token)
    return None if refusal is None else int(refusal.status)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_every_way_to_write_it(address):
    assert access.is_loopback(address)
    assert status(plan(serving.LOOPBACK), client=address) is None


@pytest.mark.parametrize(
    "address", ["10.0.0.7", "::ffff:10.0.0.7", "::", "0.0.0.0", "fe80::1%lo", "", "localhost", "127.0.0.1.evil.example"]
)
def test_anything_else_is_not_and_is_told_what_to_write(address):
    refusal = judge(plan(serving.LOOPBACK), access.Asked(address, "/health"), access.read_token)

    assert refusal is not None
    assert refusal.status == 403
    assert "probes.detail of the manifest" in refusal.why


@given(st.text())
def test_no_text_is_loopback_by_accident_or_breaks_anything(address):
    assert not access.is_loopback(address) or address.startswith(("127.", ":", "0"))


@pytest.mark.parametrize("reach", [serving.OPEN, serving.OWN])
def test_open_and_own_answer_every_client(reach):
    assert status(plan(reach)) is None


@pytest.mark.parametrize(("reach", "expected"), [(serving.LOOPBACK, 403), (serving.OPEN, None), (serving.OWN, None)])
def test_what_a_proxy_beside_us_passes_on_is_not_from_loopback(reach, expected):
    assert status(plan(reach), client="127.0.0.1", is_forwarded=True) == expected


# --- the token ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [serving.OPEN, serving.OWN, serving.LOOPBACK])
def test_with_a_token_only_who_shows_it_is_answered(reach):
    made = plan(reach, "/token")

    assert status(made, client="127.0.0.1", authorization=f"Bearer {TOKEN.decode()}") is None
    assert status(made, client="127.0.0.1", authorization=f"bearer  {TOKEN.decode()} ") is None
    for wrong in (
        "",
        "Bearer",
        "Bearer ",
        TOKEN.decode(),
        f"Basic {TOKEN.decode()}",
        "Bearer correct horse",
        "Bearer \udcff\udc80",
    ):
        assert status(made, client="127.0.0.1", authorization=wrong) == 401
    refusal = judge(made, access.Asked("127.0.0.1", "/health", authorization="Bearer guess"), lambda _path: TOKEN)
    assert refusal is not None
    assert refusal.headers == {"WWW-Authenticate": "Bearer"}
    assert "guess" not in refusal.why


def test_the_page_alone_needs_no_token_because_it_holds_no_data():
    made = plan(serving.OPEN, "/token")

    assert status(made, path="/") is None
    assert status(made, path="/v1/events") == 401
    assert status(plan(serving.LOOPBACK, "/token"), path="/") == 403


@given(st.text())
def test_no_authorization_but_the_token_is_let_in(text):
    expected = (
        None if text.lower().startswith("bearer ") and text[7:].strip().encode("utf-8", "replace") == TOKEN else 401
    )
    assert status(plan(serving.OPEN, "/token"), authorization=text) == expected


def test_the_token_is_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr(access.hmac, "compare_digest", lambda *both: compared.append(both) or False)

    assert status(plan(serving.OPEN, "/token"), authorization=f"Bearer {TOKEN.decode()}") == 401
    assert compared == [(TOKEN, TOKEN)]


def test_the_token_is_read_at_each_request_without_its_line_end_and_through_links(tmp_path):
    """A mounted Kubernetes secret is a link to a link, and is replaced by pointing it elsewhere."""
    (tmp_path / "first").write_bytes(TOKEN + b"\r\n")
    (tmp_path / "second").write_bytes(b"another token, as long\n")
    (tmp_path / "token").symlink_to("first")
    assert access.read_token(str(tmp_path / "token")) == TOKEN

    (tmp_path / "next").symlink_to("second")
    os.replace(tmp_path / "next", tmp_path / "token")

    assert access.read_token(str(tmp_path / "token")) == b"another token, as long"


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "short", "only line ends", "huge", "fifo", "directory", "link to nowhere"]
)
def test_a_token_file_that_does_not_count_closes_detail_and_is_named(tmp_path, kind):
    path = tmp_path / "token"
    content = {"empty": b"", "short": b"fifteen bytes..", "only line ends": b"\n" * 40, "huge": b"x" * 5000}
    if kind in content:
        path.write_bytes(content[kind])
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "link to nowhere":
        path.symlink_to("nowhere")
    made = plan(serving.OPEN, str(path))

    for shown in ("", "Bearer ", f"Bearer {content.get(kind, b'').decode()}"):
        refusal = judge(made, access.Asked(FAR, "/health", authorization=shown), access.read_token)
        assert refusal is not None
        assert refusal.status == 503
        assert str(path) in refusal.why


# --- browsers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:8080",
        "10.0.0.7:80",
        "[::1]:8080",
        "[::1]",
        "localhost",
        "LocalHost:8080",
        "localhost.",
    ],
)
def test_an_address_or_localhost_is_a_host(host):
    assert status(plan(serving.LOOPBACK), client="127.0.0.1", host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "rebound.example",
        "rebound.example:8080",
        "127.0.0.1.rebound.example",
        "localhost.example",
        "[::1].example",
        ":80",
        "127.1",
    ],
)
def test_a_name_that_anybody_may_have_pointed_at_us_is_refused(host):
    expected = None if host == "[::1].example" else 403  # no browser sends that: it is no valid host
    assert status(plan(serving.LOOPBACK), client="127.0.0.1", host=host) == expected
    assert status(plan(serving.OPEN), host=host) == expected
    assert status(plan(serving.OPEN, "/token"), host=host, authorization=f"Bearer {TOKEN.decode()}") is None


def test_the_listeners_own_name_is_a_host():
    assert status(plan(serving.OPEN, host="box.internal"), host="box.internal:8080") is None


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_the_page_of_another_site_reads_nothing_and_a_link_from_there_is_followed(site):
    made = plan(serving.LOOPBACK)

    assert status(made, client="127.0.0.1", fetch_site=site, fetch_mode="cors") == 403
    assert status(made, client="127.0.0.1", fetch_site=site, fetch_mode="no-cors") == 403
    assert status(made, client="127.0.0.1", fetch_site=site) == 403
    assert status(made, client="127.0.0.1", fetch_site=site, fetch_mode="navigate") is None
    assert status(made, client="127.0.0.1", fetch_site="same-origin", fetch_mode="cors") is None
    assert status(made, client="127.0.0.1", fetch_site="none", fetch_mode="navigate") is None


def test_an_origin_must_be_the_host_that_is_asked():
    asked = {"client": "127.0.0.1", "host": "localhost:8080"}

    assert status(plan(serving.LOOPBACK), **asked, origin="http://localhost:8080") is None
    for origin in ("http://localhost:3000", "https://evil.example", "null", "http://[", "localhost:8080"):
        assert status(plan(serving.LOOPBACK), **asked, origin=origin) == 403


@given(st.text(), st.text(), st.text())
def test_no_header_breaks_the_decision(host, origin, authorization):
    for made in (plan(serving.LOOPBACK), plan(serving.OPEN), plan(serving.OPEN, "/token")):
        assert status(made, host=host, origin=origin, authorization=authorization) in {None, 401, 403}
