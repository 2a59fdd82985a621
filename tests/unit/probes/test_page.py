"""The page as it is served: one document, and nothing else is ever loaded or run."""

import base64
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from probes import page

ROOT = Path(__file__).resolve().parents[3]
STATIC = ROOT / "probes" / "static"
LIMIT = 40 * 1024


@pytest.fixture(scope="module")
def reply(steady):
    return steady.get("/")


def test_it_is_one_document_of_bounded_size_that_nobody_keeps(steady, reply):
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert len(reply.body) < LIMIT
    assert steady.get("/", method="HEAD").headers["Content-Length"] == str(len(reply.body))


def test_the_policy_names_exactly_the_inline_style_and_script_and_allows_nothing_else(reply):
    policy = dict(part.split(" ", 1) for part in reply.headers["Content-Security-Policy"].split("; "))
    for name, tag in (("style-src", b"style"), ("script-src", b"script")):
        [inline] = re.findall(rb"<%b>(.*?)</%b>" % (tag, tag), reply.body, re.DOTALL)
        assert len(inline) > 1000
        assert policy.pop(name) == f"'sha256-{base64.b64encode(hashlib.sha256(inline).digest()).decode()}'"
    assert policy == {
        "default-src": "'none'", "connect-src": "'self'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip


def test_it_refers_to_no_other_place(reply):
    text = reply.body.decode().replace("http://www.w3.org/2000/svg", "")  # a name, not a place
    assert re.findall(r"https?:|//[a-z]|@import|url\(|<iframe|<object|\bimport\(", text) == []
    assert re.findall(r'(?:src|href)="(?!#|data:|/)', text) == []


def test_its_script_makes_text_only_of_what_it_is_given():
    script = (STATIC / "page.js").read_text()
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setAttribute\(\"on|DOMParser|localStorage|sessionStorage|cookie"
    assert re.findall(forbidden, script) == []
    assert "</script" not in script
    assert "</style" not in (STATIC / "page.css").read_text()


def test_it_holds_nothing_of_this_container(steady, reply):
    assert steady.boot.record.boot_id.encode() not in reply.body
    assert page.document()[0] == reply.body


def test_its_files_are_installed_with_the_package(tmp_path):
    subprocess.run([ROOT / "container" / "wheels", "sources", tmp_path / "sources"], check=True, timeout=60)
    build = ["import setuptools; setuptools.setup()", "-q", "build_py", "--build-lib", tmp_path / "built"]
    subprocess.run([sys.executable, "-c", *build], cwd=tmp_path / "sources", check=True, timeout=300)
    there = {path.name for path in (tmp_path / "built" / "probes" / "static").iterdir()}
    assert there == {"page.html", "page.css", "page.js"}
