import contextlib
import hashlib
import json
import os
import re

import hypothesis
import pytest
from hypothesis import strategies as some

from artifacts import closure, lock
from contract import errors
from manifest import provisions

SHA256 = hashlib.sha256(b"x").hexdigest()


def small() -> closure.Lock:
    entries = [
        closure.directory("./app", 0o755),
        closure.file("./app/main", 0o4755, 1234, SHA256),
        closure.link("./app/now", "releases/7"),
        closure.file("/lib/\udcff", 0o600, 0, SHA256),
    ]
    return closure.Lock((
        closure.make("api", "tree", "./app", entries),
        closure.make("web", "file", "/lib/\udcff", entries[-1:]),
    ))  # fmt: skip


def refusal(data: bytes) -> str:
    with pytest.raises(errors.InvalidRecord) as refused:
        lock.parse(data, "the lock")
    assert refused.value.what == "the lock"
    assert refused.value.remedy
    return refused.value.why


def with_root(text: str) -> bytes:
    """Return ``text``, a lock of one artifact, with the root digest of the entries it has; so that only the rest is wrong."""
    entries = [
        closure.Entry(
            path,
            kind,
            int(rest[0], 8) if kind != "l" else 0,
            *(rest[1:] if kind == "f" else (0, "")),
            rest[0] if kind == "l" else "",
        )
        for path, kind, *rest in json.loads(text)["artifacts"]["api"]["entries"]
    ]
    return re.sub('(?<="sha256": ")[^"]*', closure.root_digest(entries), text, count=1).encode()


def one(*lines: str, kind: str = "tree", path: str = "./app") -> str:
    body = ",\n".join(lines)
    return (
        f'{{"schema": "bootseal.lock/1", "artifacts": {{\n"api": {{"kind": "{kind}", "path": "{path}", "sha256": "{SHA256}", '
        f'"entries": [\n{body}\n]}}\n}}}}\n'
    )


GOOD = f'["./app","f","0644",1,"{SHA256}"]'


def test_a_lock_reads_as_its_rules_say():
    text = lock.dump(small()).decode()
    assert text.splitlines()[:5] == [
        '{"schema": "bootseal.lock/1", "artifacts": {',
        f'"api": {{"kind": "tree", "path": "./app", "sha256": "{small().closures[0].sha256}", "entries": [',
        '["./app","d","0755"],',
        f'["./app/main","f","4755",1234,"{SHA256}"],',
        '["./app/now","l","releases/7"],',
    ]
    assert json.loads(text)["artifacts"]["web"]["entries"] == [["/lib/\udcff", "f", "0600", 0, SHA256]]


def test_what_is_written_is_read_again():
    assert lock.parse(lock.dump(small()), "x") == small()
    assert lock.parse(lock.dump(closure.Lock(())), "x") == closure.Lock(())
    assert lock.parse(with_root(one(GOOD)), "x").closures[0].entries == (closure.file("./app", 0o644, 1, SHA256),)


def test_artifacts_are_written_in_one_order():
    assert lock.dump(closure.Lock(small().closures[::-1])) == lock.dump(small())


def test_more_entries_than_are_read_at_once_are_read():
    entries = [closure.file(f"./{number:05}", 0o644, number, SHA256) for number in range(5000)]
    entries[2500] = closure.file("./02500\udcff", 0o644, 1, SHA256)
    made = closure.Lock((closure.make("x", "tree", ".", entries),))
    data = lock.dump(made)
    assert len(data) > 3 * lock._CHUNK
    assert lock.parse(data, "x") == made


def test_a_lock_that_is_cut_off_anywhere_is_none():
    data = lock.dump(small())
    for length in range(len(data)):
        refusal(data[:length])
    assert refusal(b"") == "it is empty"


def test_a_lock_with_any_byte_changed_is_none():
    data = lock.dump(small())
    for place in range(len(data)):
        for byte in b'0a" ,\n\\':
            if data[place] != byte:
                changed = data[:place] + bytes([byte]) + data[place + 1 :]
                try:
                    parsed = lock.parse(changed, "x")
                except errors.InvalidRecord:
                    continue
                # What the root digest does not cover: an artifact's name and path, and its kind.
                assert lock.dump(parsed) == changed
                assert [c.entries for c in parsed.closures] == [c.entries for c in small().closures]


def test_a_lock_with_something_added_is_none():
    data = lock.dump(small())
    for added in (b"\n", b" ", b"}", data):
        assert "is not as bootseal writes it" in refusal(data + added)
        refusal(added + data)


def test_the_root_digest_must_be_that_of_the_entries():
    why = refusal(one(GOOD).encode())
    assert why == "artifact api: its root digest is not that of its entries"
    edited = lock.dump(small()).replace(b"1234", b"1235")
    assert refusal(edited) == "artifact api: its root digest is not that of its entries"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([GOOD, GOOD], "./app is out of order"),
        ([GOOD, '["app","d","0755"]'], "app is no path of a closure"),
        ([GOOD, f'["./a","f","0644",1,"{SHA256}"]'], "./a is out of order"),
        (['["./\\u00fc","d","0755"]', '["./u","d","0755"]'], "./u is out of order"),
        ([f'["./app","f","0644",-1,"{SHA256}"]'], "the size of ./app is out of range"),
        ([f'["./app","f","0644",9223372036854775808,"{SHA256}"]'], "the size of ./app is out of range"),
        ([f'["./app","f","0644",1,"{SHA256.upper()}"]'], "a digest is not hexadecimal"),
        (['["./app","l",""]'], "./app has no target"),
        (['["./app","l","a\\u0000b"]'], "./app has no target"),
        (['["./app","l","\\ud800"]'], "\\ud800 holds half a surrogate pair"),
        (['["./\\udcc3\\udcbc","d","0755"]'], "./\\udcc3\\udcbc is written in two ways"),
        *(
            ([f'["{path}","d","0755"]'], f"{shown} is no path of a closure")
            for path, shown in [
                ("app", "app"), ("", ""), ("/", "/"), ("./", "./"), ("../x", "../x"), ("/a/../b", "/a/../b"),
                ("/a/..", "/a/.."), ("/a/./b", "/a/./b"), ("/a/.", "/a/."), ("/a//b", "/a//b"), ("/a/", "/a/"),
                ("/a\\u0000b", "/a\\x00b"), ("/" + "a" * 4095, "/" + "a" * 199),
            ]
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("chunk", [1, lock._CHUNK])
def test_a_value_out_of_range_is_refused_by_name_wherever_it_stands(lines, why, chunk, monkeypatch):
    monkeypatch.setattr(lock, "_CHUNK", chunk)
    assert refusal(with_root_or_not(one(*lines))) == f"artifact api: {why}"


def with_root_or_not(text: str) -> bytes:
    try:
        return with_root(text)
    except UnicodeEncodeError:
        return text.encode()


@pytest.mark.parametrize(
    "line",
    [
        f'["./app","f","0644",true,"{SHA256}"]', f'["./app","f","0644",1.5,"{SHA256}"]', f'["./app","f","0644",01,"{SHA256}"]',
        f'["./app","f","0644",1e3,"{SHA256}"]', f'["./app","f","644",1,"{SHA256}"]', f'["./app","f","0844",1,"{SHA256}"]',
        f'["./app","f","17777",1,"{SHA256}"]', f'["./app","f",420,1,"{SHA256}"]', f'["./app","f","0644",1,"{SHA256[1:]}"]',
        f'["./app","f","0644",1,"{SHA256}0"]', '["./app","f","0644",1,null]', '["./app","f","0644",1]', '["./app","d"]', "[]",
        '["./app","d","0755",0]', '["./app","x","0755"]', '["./app","l",7]', '[["./app"],"l","x"]', "{}", "null", '"./d"', "1",
        f'["./app", "f","0644",1,"{SHA256}"]', '["./\\u0061pp","d","0755"]', '["./app","d","0755"] ', "NaN", "[" * 100_000, "",
        '["./app","d","0755"],["./b","d","0755"]', "9" * 5000,
    ],
)  # fmt: skip
def test_an_entry_of_another_form_is_refused(line):
    why = refusal(one(line).encode())
    assert why == "artifact api: an entry is not as bootseal writes it" or why.startswith("artifact api: it is no JSON")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kind": "forest"}, "artifact api: its kind forest is unknown"),
        ({"path": "/a/../b"}, "/a/../b is no path of a closure"),
    ],
)
def test_an_artifact_out_of_range_is_refused(changes, why):
    assert refusal(with_root(one(GOOD, **changes))) == why


def test_an_artifact_without_a_name_is_refused():
    assert "line of an artifact" in refusal(with_root(one(GOOD)).replace(b'"api"', b'""'))


def test_another_schema_is_refused():
    assert refusal(lock.dump(small()).replace(b"lock/1", b"lock/2")) == "it does not begin as bootseal.lock/1 does"


def test_artifacts_out_of_order_or_twice_are_refused():
    head, api, web = lock.dump(small()).decode().partition('"api"')[0], *lock.dump(small()).decode().split("]},\n")
    api, web = api.removeprefix(head), web.removesuffix("\n]}\n}}\n")
    assert refusal(f"{head}{web}\n]}},\n{api}]}}\n}}}}\n".encode()) == "artifact api is out of order"
    assert refusal(f"{head}{web}\n]}},\n{web}\n]}}\n}}}}\n".encode()) == "artifact web is out of order"


def test_a_lock_larger_than_the_limit_is_not_looked_at(monkeypatch):
    data = lock.dump(small())
    monkeypatch.setattr(lock, "LIMIT", len(data) - 1)
    assert "more than" in refusal(data)


def test_a_lock_is_loaded_when_it_is_the_one_the_plan_names(tmp_path):
    data, path = lock.dump(small()), str(tmp_path / "closures.lock")
    (tmp_path / "closures.lock").write_bytes(data)
    assert lock.load(path, hashlib.sha256(data).hexdigest()) == small()
    with pytest.raises(
        errors.InvalidRecord, match=r"it is not the one that the plan was built with \(build the image again\)"
    ):
        lock.load(path, SHA256)


@pytest.mark.parametrize("state", ["missing", "empty", "directory", "fifo", "link", "large"])
def test_a_lock_that_cannot_be_read_is_said_to_be_so(tmp_path, monkeypatch, state):
    path = str(tmp_path / "closures.lock")
    {
        "missing": lambda: None, "empty": lambda: open(path, "wb").close(), "directory": lambda: os.mkdir(path),
        "fifo": lambda: os.mkfifo(path), "link": lambda: os.symlink("elsewhere", path),
        "large": lambda: (open(path, "wb").close(), os.truncate(path, lock.LIMIT + 1)),
    }[state]()  # fmt: skip
    with pytest.raises(errors.InvalidRecord) as refused:
        lock.load(path, hashlib.sha256(b"").hexdigest())
    assert path in refused.value.what
    assert refused.value.why
    assert refused.value.remedy


names = some.text(some.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=8)
paths = some.lists(names.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=4).map("/".join)
raw = some.binary(min_size=1, max_size=9).map(lambda data: os.fsdecode(data.replace(b"\0", b"0")))
recorded = some.one_of(
    paths.map("./".__add__), paths.map("/".__add__), raw.map(lambda name: f"/r{name.replace('/', '0')}")
)
modes = some.integers(0, 0o7777)
digests = some.binary(min_size=32, max_size=32).map(bytes.hex)
entries = some.one_of(
    some.builds(closure.file, recorded, modes, some.integers(0, 2**63 - 1), digests),
    some.builds(closure.directory, recorded, modes),
    some.builds(closure.link, recorded, raw | paths),
)
closures = some.builds(
    closure.make,
    some.text(some.characters(exclude_categories=("Cs",)), min_size=1, max_size=9),
    some.sampled_from(provisions.ARTIFACT_KINDS),
    recorded,
    some.lists(entries, min_size=1, max_size=9, unique_by=lambda entry: entry.path),
)
locks = some.lists(closures, max_size=3, unique_by=lambda closed: closed.id).map(
    lambda made: closure.Lock(tuple(sorted(made, key=lambda closed: closed.id)))
)


@hypothesis.given(locks)
def test_any_lock_is_read_as_it_was_written(made):
    assert lock.parse(lock.dump(made), "x") == made


@hypothesis.given(some.binary() | some.binary().map(lambda tail: lock._HEAD.encode() + tail))
def test_any_bytes_are_a_lock_or_refused(data):
    try:
        assert lock.dump(lock.parse(data, "x")) == data
    except errors.InvalidRecord as refused:
        assert refused.remedy


@hypothesis.given(locks, some.data())
def test_any_change_of_a_lock_is_refused_or_is_another_lock(made, data):
    written = lock.dump(made)
    begin = data.draw(some.integers(0, len(written)))
    end = data.draw(some.integers(begin, min(len(written), begin + 9)))
    changed = written[:begin] + data.draw(some.binary(max_size=9)) + written[end:]
    with contextlib.suppress(errors.InvalidRecord):
        assert lock.dump(lock.parse(changed, "x")) == changed
