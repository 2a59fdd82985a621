"""What a file must be, how YAML is read, and that nothing is ever silently something else."""

import os
import pathlib
import socket

import pytest

from manifest import compile as compiling
from manifest import scalars, source
from tests.unit.manifest import manifests

HEAD = "version: 1\nname: x\n"


def argv_of(folder: pathlib.Path, items: str) -> tuple[str, ...]:
    result = manifests.load(folder, f"{HEAD}programs:\n  a: {{command: [a, {items}]}}\n")
    assert result.plan is not None, result.diagnostics
    program = result.plan.program("a")
    assert program is not None
    return program.argv[1:]


@pytest.mark.parametrize(
    "text",
    [
        "9090",
        "0755",
        "1.10",
        "no",
        "yes",
        "on",
        "true",
        "12:30",
        "1_000",
        "0x1F",
        "0o17",
        "1e3",
        ".5",
        "+1",
        "2024-01-01",
    ],
)
def test_text_is_what_was_written(tmp_path: pathlib.Path, text: str) -> None:
    assert argv_of(tmp_path, text) == (text,)
    assert argv_of(tmp_path, f"'{text}'") == (text,)


def test_quoted_null_is_text_and_quoted_emptiness_too(tmp_path: pathlib.Path) -> None:
    assert argv_of(tmp_path, "'~', 'null', '', \"\"") == ("~", "null", "", "")


def test_block_text_and_escapes_are_read(tmp_path: pathlib.Path) -> None:
    result = manifests.load(
        tmp_path, HEAD + 'programs:\n  a:\n    command:\n    - sh\n    - |\n      one\n      two\n    - "\\u00e9\\t"\n'
    )
    assert result.plan is not None
    assert result.plan.programs[2].argv == ("sh", "one\ntwo\n", "é\t")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("false", False), ("null", None), ("~", None), ("", None), ("0", 0), ("-7", -7), ("1.5", 1.5), ("1e3", 1000.0),
        ("True", "True"), ("yes", "yes"), ("NULL", "NULL"), ("007", "007"), ("0x1", "0x1"), ("1_0", "1_0"), ("12:30", "12:30"),
        (".inf", ".inf"), (".nan", ".nan"), ("+1", "+1"), ("-", "-"), ("1.", "1."), ("9" * 40, "9" * 40), ("١", "١"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_resolved_by_our_strict_core(text: str, value: object) -> None:
    resolved = scalars.resolve(text)
    assert resolved == value
    assert type(resolved) is type(value)


def test_names_that_yaml_1_1_takes_for_booleans_are_names(tmp_path: pathlib.Path) -> None:
    result = manifests.load(
        tmp_path, "version: 1\nname: no\nprograms:\n  on: {command: [a]}\n  9090: {command: [b], after: [on]}\n"
    )
    assert result.plan is not None, result.diagnostics
    assert result.plan.name == "no"
    assert [program.name for program in result.plan.programs[2:4]] == ["on", "9090"]


def test_an_alias_stands_for_its_value(tmp_path: pathlib.Path) -> None:
    result = manifests.load(tmp_path, HEAD + "programs:\n  a: {command: &c [a, 1]}\n  b: {command: *c}\n")
    assert result.plan is not None
    assert [program.argv for program in result.plan.programs[2:4]] == [("a", "1"), ("a", "1")]


def test_aliases_are_counted_expanded(tmp_path: pathlib.Path) -> None:
    layers = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 9))
    result = manifests.load(tmp_path, f"l0: &l0 [{', '.join('x' * 9)}]\n{layers}")
    assert manifests.codes(result) == ["E009"]


def test_aliases_cannot_nest_deeper_than_what_is_written(tmp_path: pathlib.Path) -> None:
    layers = "".join(f"l{n}: &l{n} [*l{n - 1}]\n" for n in range(1, 60))
    assert manifests.codes(manifests.load(tmp_path, f"l0: &l0 [x]\n{layers}")) == ["E008"]


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, "{a: " * 200_000, "- " * 200_000, "a:\n" + "".join(" " * n + "- a:\n" for n in range(1, 900))],
)
def test_deep_nesting_is_an_error_and_no_recursion(tmp_path: pathlib.Path, text: str) -> None:
    result = manifests.load(tmp_path, text)
    assert result.plan is None
    assert set(manifests.codes(result)) <= {"E005", "E008"}


def test_a_byte_order_mark_is_accepted(tmp_path: pathlib.Path) -> None:
    assert manifests.load(tmp_path, b"\xef\xbb\xbf" + manifests.SMALL.encode()).plan is not None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_another_encoding_is_refused(tmp_path: pathlib.Path, encoding: str) -> None:
    assert manifests.codes(manifests.load(tmp_path, manifests.SMALL.encode(encoding))) == ["E003"]


def test_windows_line_ends_change_nothing_but_the_digest(tmp_path: pathlib.Path) -> None:
    unix, windows = (
        manifests.load(tmp_path, text).plan for text in (manifests.SMALL, manifests.SMALL.replace("\n", "\r\n"))
    )
    assert unix is not None
    assert windows is not None
    assert unix.programs == windows.programs


@pytest.mark.parametrize(
    "data", [b"\0" * 5000, bytes(range(256)), b"a: \x00b\n", b"\x7fELF\x02\x01", b"a: \xed\xa0\x80\n", b"\xff"]
)
def test_binary_is_refused(tmp_path: pathlib.Path, data: bytes) -> None:
    assert manifests.codes(manifests.load(tmp_path, data)) == ["E003"]


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"# comment\n", b"---\n", b"---\n...\n", b"~\n", b"null", b"\xef\xbb\xbf"]
)
def test_an_empty_manifest_is_refused(tmp_path: pathlib.Path, data: bytes) -> None:
    assert manifests.codes(manifests.load(tmp_path, data)) == ["E004"]


def test_ten_megabytes_are_refused_unread(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bootseal.yaml"
    path.write_bytes(manifests.SMALL.encode())
    os.truncate(path, 10 * 1024 * 1024)
    assert manifests.codes(compiling.load(str(path))) == ["E002"]


def test_exactly_the_limit_is_read(tmp_path: pathlib.Path) -> None:
    text = manifests.SMALL + "#" * (source.SIZE_LIMIT - len(manifests.SMALL))
    assert manifests.load(tmp_path, text).plan is not None
    assert manifests.codes(manifests.load(tmp_path, text + "#")) == ["E002"]


def test_a_link_to_a_manifest_is_read_and_here_is_where_the_link_is(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "m.yaml").write_text(HEAD + 'programs: {a: {command: ["${here}/a"]}}\n')
    (tmp_path / "link.yaml").symlink_to("real/m.yaml")
    result = compiling.load(str(tmp_path / "link.yaml"))
    assert result.plan is not None
    assert result.plan.programs[2].argv == (f"{tmp_path}/a",)


def test_what_is_no_file_is_refused_and_nothing_hangs(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        names = ["fifo", "loop", "gone", "socket", "missing", "", "a\0b"]
        for path in [*(str(tmp_path / name) for name in names), "/dev/null", "/dev/tty", "", "\0"]:
            result = compiling.load(path)
            assert result.plan is None
            assert manifests.codes(result) == ["E001"], path
            assert result.diagnostics[0].place is None


def test_an_unreadable_manifest_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bootseal.yaml"
    path.write_text(manifests.SMALL)
    path.chmod(0)
    result = compiling.load(str(path))
    if os.geteuid() == 0:
        assert result.plan is not None  # root reads everything
    else:
        assert "Permission denied" in str(result.diagnostics[0])


def test_a_refused_key_does_not_make_others_look_missing(tmp_path: pathlib.Path) -> None:
    text = HEAD + "programs:\n  a: &a {command: [a]}\n  b: {<<: *a, oneshot: true}\n  c: {command: [c], command: [d]}\n"
    assert manifests.codes(manifests.load(tmp_path, text)) == ["E013", "E010"]
