import functools
import os
import pathlib
import platform
import re
import shutil
import subprocess
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts import closure, dynamic_loading, elf, libraries, tree
from contract import errors

needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler here")


def survey(path: object, here: object = "/nowhere") -> tree.Survey:
    found = tree.Survey(str(here))
    dynamic_loading.expand(str(path), found)
    return found


def files(found: tree.Survey) -> set[str]:
    assert found.problems == []
    return {entry.path for entry in found.entries if entry.type == closure.FILE}


def ldd(path: object) -> set[str]:
    """Return the real files that the machine's own loader would load, the program included."""
    said = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "not found" not in said
    return {os.path.realpath(path) for path in re.findall(r"(/\S+) \(0x", said)} | {os.path.realpath(str(path))}


def gcc(*arguments: object) -> None:
    subprocess.run(["gcc", *map(str, arguments)], check=True, timeout=60, capture_output=True)


def library(path: pathlib.Path, *arguments: object, soname: str | None = None, version: int = 1) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W", "_", path.name)
    source = path.parent / f"{name}.c"
    source.write_text(f"int {name}(void) {{ return {version}; }}\n")
    gcc("-shared", "-fPIC", "-o", path, source, f"-Wl,-soname,{soname or path.name}", *arguments)
    source.unlink()
    return path


def program(path: pathlib.Path, *arguments: object) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    source = path.with_suffix(".c")
    source.write_text("int main(void) { return 0; }\n")
    gcc("-o", path, source, "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", *arguments)
    source.unlink()
    return path


@pytest.mark.parametrize("name", ["bash", "python3", "git", "perl", "ssh", "ls", "openssl", "node"])
def test_the_libraries_are_those_that_the_machines_loader_takes(name: str):
    folders = "/usr/bin:/bin"  # not a shim of a version switcher
    path = shutil.which(name, path=folders)
    if path is None:
        pytest.skip(f"no {name} here")
    assert files(survey(path)) == ldd(path)


@needs_compiler
def test_runpath_counts_for_the_file_that_says_so_and_origin_is_where_it_lies(tmp_path: pathlib.Path):
    """The program finds a by its own RUNPATH, and a finds b by its own; the program's is of no use to a."""
    b = library(tmp_path / "lib" / "deep" / "libb.so")
    a = library(
        tmp_path / "lib" / "liba.so", "-Wl,--no-as-needed", b, "-Wl,-rpath,$ORIGIN/deep", "-Wl,--enable-new-dtags"
    )
    main = program(tmp_path / "bin" / "main", a, "-Wl,-rpath,${ORIGIN}/../lib", "-Wl,--enable-new-dtags")
    assert files(survey(main)) == ldd(main) > {str(a), str(b)}
    a = library(a, "-Wl,--no-as-needed", b)
    main = program(
        tmp_path / "bin" / "main", a, "-Wl,-rpath,$ORIGIN/../lib:$ORIGIN/../lib/deep", "-Wl,--enable-new-dtags"
    )
    assert survey(main).problems == [f"libb.so is not found, and {a} needs it"]
    assert "libb.so => not found" in subprocess.run(["ldd", main], capture_output=True, text=True, check=False).stdout


@needs_compiler
def test_rpath_is_inherited_and_void_in_a_file_with_a_runpath(tmp_path: pathlib.Path):
    b = library(tmp_path / "deep" / "libb.so")
    old, new = "-Wl,--disable-new-dtags", "-Wl,--enable-new-dtags"
    a = library(tmp_path / "liba.so", "-Wl,--no-as-needed", b)
    main = program(tmp_path / "main", a, f"-Wl,-rpath,$ORIGIN:{tmp_path}/deep", old)
    assert files(survey(main)) == ldd(main) > {str(a), str(b)}
    a = library(tmp_path / "liba.so", "-Wl,--no-as-needed", b, "-Wl,-rpath,/none", new)
    main = program(tmp_path / "main", a, f"-Wl,-rpath,$ORIGIN:{tmp_path}/deep", old)
    assert survey(main).problems == [f"libb.so is not found, and {a} needs it"]
    assert "libb.so => not found" in subprocess.run(["ldd", main], capture_output=True, text=True, check=False).stdout


@needs_compiler
def test_a_program_reached_by_a_symlink_looks_from_where_it_really_lies(tmp_path: pathlib.Path):
    a = library(tmp_path / "real" / "liba.so")
    program(tmp_path / "real" / "main", a, "-Wl,-rpath,$ORIGIN")
    os.symlink("real/main", tmp_path / "main")
    found = survey(tmp_path / "main", tmp_path)
    assert {"./real/main", "./real/liba.so"} < files(found)
    assert closure.link("./main", "real/main") in found.entries


@needs_compiler
def test_a_versioned_library_is_its_link_and_the_file_behind_it(tmp_path: pathlib.Path):
    library(tmp_path / "liba.so.1.2.3", soname="liba.so.1")
    os.symlink("liba.so.1.2.3", tmp_path / "liba.so.1")
    main = program(tmp_path / "main", tmp_path / "liba.so.1", "-Wl,-rpath,$ORIGIN")
    found = survey(main, tmp_path)
    assert closure.link("./liba.so.1", "liba.so.1.2.3") in found.entries
    assert "./liba.so.1.2.3" in files(found)


@needs_compiler
def test_every_variant_for_a_better_cpu_belongs_to_it_and_what_that_needs(tmp_path: pathlib.Path):
    """Which is loaded depends on the CPU that boots."""
    c = library(tmp_path / "libc2.so")
    plain = library(tmp_path / "liba.so")
    v2 = library(tmp_path / "glibc-hwcaps" / "x86-64-v2" / "liba.so", "-Wl,--no-as-needed", c)
    v9 = library(tmp_path / "glibc-hwcaps" / "x86-64-v9" / "liba.so")
    main = program(tmp_path / "main", plain, f"-Wl,-rpath,{tmp_path}", "-Wl,--disable-new-dtags")
    assert {str(path) for path in (plain, v2, v9, c)} < files(survey(main))


@needs_compiler
def test_a_variant_alone_does_not_end_the_search(tmp_path: pathlib.Path):
    """On another CPU the loader goes on to the next directory."""
    variant = library(tmp_path / "one" / "glibc-hwcaps" / "x86-64-v2" / "liba.so")
    plain = library(tmp_path / "two" / "liba.so")
    never = library(tmp_path / "three" / "liba.so")
    folders = ":".join(f"{tmp_path}/{name}" for name in ("one", "two", "three"))
    found = files(survey(program(tmp_path / "main", plain, f"-Wl,-rpath,{folders}")))
    assert {str(variant), str(plain)} < found
    assert str(never) not in found


@needs_compiler
def test_a_library_reached_by_a_symlink_looks_from_where_the_symlink_lies(tmp_path: pathlib.Path):
    """Other than a program: glibc resolves no link of a library's path."""
    b = library(tmp_path / "front" / "libb.so")
    a = library(tmp_path / "store" / "liba.so", "-Wl,--no-as-needed", b, "-Wl,-rpath,$ORIGIN")
    os.symlink("../store/liba.so", tmp_path / "front" / "liba.so")
    main = program(tmp_path / "main", a, f"-Wl,-rpath,{tmp_path}/front", "-Wl,--enable-new-dtags")
    assert files(survey(main)) == ldd(main) > {str(a), str(b)}


@needs_compiler
def test_lib_and_platform_stand_for_every_directory_that_they_may_be(tmp_path: pathlib.Path):
    tuple_ = f"{platform.machine()}-linux-gnu"
    one = library(tmp_path / "lib" / tuple_ / "liba.so")
    two = library(tmp_path / platform.machine() / "libb.so")
    main = program(tmp_path / "main", one, two, "-Wl,-rpath,$ORIGIN/$LIB:${ORIGIN}/${PLATFORM}:$ORIGIN/$NONSENSE")
    assert {str(one), str(two)} < files(survey(main))


@needs_compiler
def test_a_library_for_another_machine_is_passed_over(tmp_path: pathlib.Path):
    right = library(tmp_path / "right" / "liba.so")
    wrong = tmp_path / "wrong"
    for name, offset, value in (("machine", 18, b"\x28\x00"), ("class", 4, b"\x01"), ("order", 5, b"\x02")):
        folder = wrong / name
        folder.mkdir(parents=True)
        data = bytearray(right.read_bytes())
        data[offset : offset + len(value)] = value
        (folder / "liba.so").write_bytes(data)
    (wrong / "text").mkdir()
    (wrong / "text" / "liba.so").write_text("INPUT(x)")
    (wrong / "folder" / "liba.so").mkdir(parents=True)
    os.mkdir(wrong / "fifo")
    os.mkfifo(wrong / "fifo" / "liba.so")
    before = ":".join(str(path) for path in sorted(wrong.iterdir()))
    main = program(tmp_path / "main", right, f"-Wl,-rpath,{before}:{tmp_path}/right")
    found = files(survey(main))
    assert str(right) in found
    assert not any(path.startswith(str(wrong)) for path in found)


@needs_compiler
def test_a_missing_library_or_loader_is_named_with_who_needs_it_and_all_are_told(tmp_path: pathlib.Path):
    b = library(tmp_path / "libb.so")
    a = library(tmp_path / "liba.so", "-Wl,--no-as-needed", b, "-Wl,-rpath,$ORIGIN")
    main = program(tmp_path / "main", a, b, "-Wl,-rpath,$ORIGIN")
    b.unlink()
    a.unlink()
    assert survey(main).problems == [f"{name} is not found, and {main} needs it" for name in ("liba.so", "libb.so")]
    main = program(tmp_path / "main", "-Wl,--dynamic-linker,/no/such/loader")
    assert survey(main).problems == ["/no/such/loader: No such file or directory"]
    main = program(tmp_path / "main", "-Wl,--dynamic-linker,relative")
    assert "depends on the working directory" in survey(main).problems[0]


@needs_compiler
def test_without_default_directories_none_is_looked_in(tmp_path: pathlib.Path):
    main = program(tmp_path / "main", "-Wl,-z,nodefaultlib")
    assert survey(main).problems == [f"libc.so.6 is not found, and {main} needs it"]


@needs_compiler
def test_a_library_named_by_its_path_is_that_file_and_a_relative_one_is_a_problem(tmp_path: pathlib.Path):
    a = library(tmp_path / "liba.so", soname=f"{tmp_path}/liba.so")
    assert str(a) in files(survey(program(tmp_path / "main", a)))
    b = library(tmp_path / "libb.so", soname="here/libb.so")
    main = program(tmp_path / "main", b)
    assert survey(main).problems == [f"{main} needs 'here/libb.so', which depends on the working directory"]


@needs_compiler
def test_a_static_program_and_a_library_by_itself(tmp_path: pathlib.Path):
    source = tmp_path / "main.c"
    source.write_text("void _start(void) { for (;;) {} }\n")
    gcc("-static", "-nostdlib", "-o", tmp_path / "main", source)
    assert files(survey(tmp_path / "main")) == {f"{tmp_path}/main"}
    gcc("-static-pie", "-nostdlib", "-o", tmp_path / "pie", source)
    assert files(survey(tmp_path / "pie")) == {f"{tmp_path}/pie"}
    a = library(tmp_path / "liba.so")
    assert files(survey(a)) == ldd(a)


@needs_compiler
def test_libraries_that_need_each_other_end(tmp_path: pathlib.Path):
    b = library(tmp_path / "libb.so")
    a = library(tmp_path / "liba.so", "-Wl,--no-as-needed", b, "-Wl,-rpath,$ORIGIN")
    library(tmp_path / "libb.so", "-Wl,--no-as-needed", a, "-Wl,-rpath,$ORIGIN")
    assert files(survey(a)) == ldd(a) > {str(a), str(b)}


@needs_compiler
def test_musl_finds_libraries_by_its_own_rules(tmp_path: pathlib.Path):
    """Its loader is libc itself, its path file lies beside it, RUNPATH is inherited, and /etc/ld.so.conf means nothing."""
    loader = tmp_path / "lib" / "ld-musl-x86_64.so.1"
    library(loader, "-nostdlib", soname="libc.so")
    fake_libc = library(tmp_path / "link" / "libc.musl-x86_64.so.1", "-nostdlib")
    library(tmp_path / "opt" / "libb.so", "-nostdlib")
    a = library(tmp_path / "own" / "liba.so", "-nostdlib", "-Wl,--no-as-needed", tmp_path / "opt" / "libb.so")
    d = library(tmp_path / "conf" / "libd.so", "-nostdlib")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "ld-musl-x86_64.path").write_text(f"/none:{tmp_path}/conf\n")
    main = program(
        tmp_path / "main", "-nostdlib", "-Wl,-e,main", fake_libc, a, d, f"-Wl,--dynamic-linker,{loader}",
        f"-Wl,-rpath,$ORIGIN/own:{tmp_path}/opt", "-Wl,--enable-new-dtags",
    )  # fmt: skip
    assert files(survey(main)) == {str(main), str(loader), str(a), f"{tmp_path}/opt/libb.so", str(d)}


def test_the_configured_directories_are_those_of_the_file_and_of_what_it_includes(tmp_path: pathlib.Path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "b.conf").write_text("/b # why\n\n/c=libc6\n")
    (tmp_path / "conf.d" / "a.conf").write_text("/a\nhwcap 0 nosegneg\n")
    (tmp_path / "ld.so.conf").write_text("# first\ninclude conf.d/*.conf\n/d:/e /b\nrelative\n")
    assert libraries.configured(str(tmp_path / "ld.so.conf")) == ("/a", "/b", "/c", "/d", "/e")
    assert libraries.configured(str(tmp_path / "none")) == ()
    (tmp_path / "ld.so.conf").write_text("include ld.so.conf\n")
    with pytest.raises(errors.BootsealError, match="more than 10 files deep"):
        libraries.configured(str(tmp_path / "ld.so.conf"))


@needs_compiler
def test_a_configured_directory_comes_before_the_systems(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    a = library(tmp_path / "conf" / "liba.so")
    main = program(tmp_path / "main", a)
    assert survey(main).problems == [f"liba.so is not found, and {main} needs it"]
    monkeypatch.setattr(libraries, "configured", lambda: (str(tmp_path / "conf"),))
    assert str(a) in files(survey(main))


def test_a_file_that_is_cut_off_is_a_problem_and_no_exception(tmp_path: pathlib.Path):
    data = pathlib.Path(os.path.realpath("/bin/ls")).read_bytes()
    for length in (4, 16, 63, 64, 100, 500, 2000):
        (tmp_path / "cut").write_bytes(data[:length])
        found = survey(tmp_path / "cut")
        assert length > 64 or found.problems[0].startswith(f"{tmp_path}/cut: it cannot be read as an ELF file: ")


@functools.cache
def _small() -> bytes:
    """Return a small program of this machine's."""
    if shutil.which("gcc") is None:
        return pathlib.Path(os.path.realpath("/bin/true")).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        return program(pathlib.Path(folder) / "main", "-s", "-Wl,-rpath,$ORIGIN").read_bytes()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1200), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6))
def test_no_damage_breaks_the_reader(damage: list[tuple[int, bytes]]):
    data = bytearray(_small())
    for offset, value in damage:
        data[offset : offset + len(value)] = value
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        elf.machine(file.name)
        try:
            elf.read(file.name)
        except errors.BootsealError as error:
            assert f"{error.what}: {error.why}" in survey(file.name).problems
        else:
            survey(file.name)  # whatever it needs: told or found, never raised
