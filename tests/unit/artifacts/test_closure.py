import hashlib
import os

import hypothesis
import pytest
from hypothesis import strategies as some

from artifacts import closure

SHA256 = "ab" * 32


def test_the_root_digest_is_over_the_bytes_that_the_rules_say():
    entries = [
        closure.directory("./app", 0o755),
        closure.file("./app/m\udcffin", 0o4755, 12, SHA256),
        closure.link("./app/now", "releases/7"),
    ]
    said = (
        b"bootseal.closure/1\0d\x00755\0./app\0f\x004755\x0012\0"
        + SHA256.encode()
        + b"\0./app/m\xffin\0l\0releases/7\0./app/now\0"
    )
    assert closure.root_digest(entries) == hashlib.sha256(said).hexdigest()


def test_the_root_digest_counts_every_field_of_every_entry():
    file, link = closure.file("/a", 0o644, 1, SHA256), closure.link("/a", "b")
    others = [
        [],
        [file],
        [file._replace(path="/b")],
        [file._replace(mode=0o600)],
        [file._replace(size=2)],
        [file._replace(sha256="ba" * 32)],
        [link],
        [link._replace(target="c")],
        [link._replace(path="/b", target="a")],
        [closure.directory("/a", 0o644)],
        [file, file._replace(path="/b")],
    ]
    assert len({closure.root_digest(entries) for entries in others}) == len(others)


def test_a_closure_is_in_the_order_of_bytes_whatever_order_it_was_found_in():
    paths = ["/a", "/a-b", "/a/b", "/é", "/\uffff", "/\udcff", "/\U0001f600"]
    entries = [closure.file(path, 0o644, 0, SHA256) for path in paths]
    made = closure.make("x", "tree", "/a", [*reversed(entries), entries[0]])
    assert [os.fsencode(entry.path) for entry in made.entries] == sorted(os.fsencode(path) for path in paths)
    assert made.sha256 == closure.root_digest(made.entries)


def test_two_truths_about_one_path_are_refused():
    with pytest.raises(ValueError, match="two entries for /a"):
        closure.make("x", "file", "/a", [closure.link("/a", "b"), closure.link("/a", "c")])


@pytest.mark.parametrize("path", [".", "./a", "/a", "/a/.b/..c/...", "./ /\n"])
def test_a_normal_path_is_one(path):
    assert closure.is_normal(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "./",
        "a",
        "..",
        "../a",
        "/a/",
        "//a",
        "/a//b",
        "/./a",
        "/..",
        "./..",
        "/a/../b",
        "/a/.",
        "././a",
        "/a\0",
        "~",
    ],
)
def test_a_path_that_goes_elsewhere_or_is_written_oddly_is_none(path):
    assert not closure.is_normal(path)


@hypothesis.given(
    some.sampled_from(["/", "/opt", "/opt/app"]),
    some.sampled_from(["/opt", "/opt/app", "/opt/app/x/y", "/opt/apple", "/x"]),
)
def test_what_is_recorded_lies_where_it_was(here, path):
    recorded = closure.recorded(path, here)
    assert closure.is_normal(recorded)
    assert closure.absolute(recorded, here) == path
    assert recorded.startswith(".") == (here == "/" or path == here or path.startswith(f"{here}/"))
