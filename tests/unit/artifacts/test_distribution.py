import base64
import hashlib
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts import closure, distribution, expansion
from contract import errors
from manifest import provisions


def install(site: pathlib.Path, name: str, content: dict[str, str], **wrong: str) -> pathlib.Path:
    """Install a distribution as pip does: its files and a RECORD; ``wrong`` replaces the digest of the file called so."""
    rows = []
    for path, text in content.items():
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},{wrong.get(target.stem, 'sha256=' + digest)},{len(text)}")
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "RECORD").write_text("\n".join([*rows, f"{info.name}/RECORD,,", ""]))
    return info


def expand(info: pathlib.Path, here: pathlib.Path) -> closure.Closure:
    return expansion.expand(provisions.ArtifactPlan("x", str(info), True), str(here))


def paths(info: pathlib.Path, here: pathlib.Path) -> set[str]:
    found = expand(info, here)
    assert found.kind == provisions.PYTHON
    return {entry.path for entry in found.entries}


def problems(info: pathlib.Path) -> tuple[str, ...]:
    with pytest.raises(expansion.NotLockable) as caught:
        expand(info, pathlib.Path("/nowhere"))
    return caught.value.problems


def test_a_distribution_is_its_record_and_the_directories_that_are_its_alone(tmp_path: pathlib.Path):
    site = tmp_path / "lib" / "site"
    info = install(site, "tool", {"tool/__init__.py": "x", "tool/sub/a.py": "a", "one.py": "1", "../../bin/tool": "#!"})
    install(site, "other", {"other/__init__.py": "y"})
    (site / "tool" / "sub" / "added.py").write_text("not in RECORD")
    (site / "unrelated.py").write_text("z")
    (tmp_path / "bin" / "unrelated").write_text("z")
    assert paths(info, tmp_path) == {
        "./bin/tool", "./lib/site/one.py", "./lib/site/tool", "./lib/site/tool/__init__.py", "./lib/site/tool/sub",
        "./lib/site/tool/sub/a.py", "./lib/site/tool/sub/added.py", "./lib/site/tool-1.0.dist-info",
        "./lib/site/tool-1.0.dist-info/RECORD",
    }  # fmt: skip


def test_a_directory_that_is_shared_is_not_listed_whole_and_what_is_below_it_alone_is(tmp_path: pathlib.Path):
    info = install(tmp_path, "one", {"space/one/a.py": "a", "space/shared/a.py": "a", "__pycache__/m.pyc": "m"})
    install(tmp_path, "two", {"space/two/b.py": "b", "space/shared/b.py": "b"})
    found = paths(info, tmp_path)
    assert found & {"./space", "./space/one", "./space/shared", "./space/two", "./__pycache__"} == {"./space/one"}
    assert {"./space/one/a.py", "./space/shared/a.py", "./__pycache__/m.pyc"} < found
    assert not found & {"./space/shared/b.py", "./space/two/b.py"}


def test_a_file_that_is_not_there_any_more_is_no_part_of_it(tmp_path: pathlib.Path):
    info = install(tmp_path, "tool", {"tool/a.py": "a", "tool/test.py": "t"})
    (tmp_path / "tool" / "test.py").unlink()
    assert "./tool/test.py" not in paths(info, tmp_path)


def test_a_file_that_is_not_what_record_says_is_a_problem_and_every_one_is_told(tmp_path: pathlib.Path):
    info = install(tmp_path, "tool", {"tool/a.py": "a", "tool/b.py": "b", "tool/c.py": "c"})
    (tmp_path / "tool" / "a.py").write_text("changed")
    (tmp_path / "tool" / "c.py").write_text("changed")
    said = "is not what RECORD says: it was changed after it was installed"
    assert problems(info) == (f"{tmp_path}/tool/a.py {said}", f"{tmp_path}/tool/c.py {said}")


@pytest.mark.parametrize(
    "digest",
    ["md5=abc", "md5=DMF1ucDxtqgxw5niaXcmYQ", "sha256=!!", "sha256", "=abc", "sha256=", "sha256=ü", "sha256=YQ"],
)
def test_a_digest_that_proves_nothing_is_a_problem(tmp_path: pathlib.Path, digest: str):
    info = install(tmp_path, "tool", {"tool/a.py": "a"}, a=digest)
    [problem] = problems(info)
    assert problem.startswith(f"{tmp_path}/tool/a.py")


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_stronger_digests_are_compared_too(tmp_path: pathlib.Path, algorithm: str):
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, b"a").digest()).rstrip(b"=").decode()
    info = install(tmp_path, "tool", {"tool/a.py": "a"}, a=f"{algorithm}={digest}")
    assert "./tool/a.py" in paths(info, tmp_path)
    (tmp_path / "tool" / "a.py").write_text("b")
    assert len(problems(info)) == 1


def test_a_record_that_is_missing_or_damaged_is_a_problem(tmp_path: pathlib.Path):
    info = install(tmp_path, "tool", {"tool/a.py": "a"})
    for data in (b"a,b\n", b"\xff,,\n", b'"open,,\n', b",,\n", b"a\0b,,\n"):
        (info / "RECORD").write_bytes(data)
        assert problems(info)[0].startswith(f"{info}/RECORD: ")
    (info / "RECORD").unlink()
    assert problems(info) == (f"{info}/RECORD: No such file or directory",)


def test_the_installed_pytest_is_what_its_record_says():
    [info] = pathlib.Path(pytest.__file__).parent.parent.glob("pytest-[0-9]*.dist-info")
    found = expand(info, info.parent)
    by_path = {entry.path: entry for entry in found.entries}
    assert by_path["./_pytest"].type == by_path["./pytest"].type == closure.DIRECTORY
    assert "." not in by_path


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes):
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/RECORD", "wb") as file:
            file.write(data)
        try:
            rows = distribution.read(f"{folder}/RECORD")
        except errors.BootsealError:
            return
        for owned in distribution.owned_directories(rows, frozenset()):
            assert not owned.startswith(("/", ".."))
            assert os.path.normpath(owned) == owned
