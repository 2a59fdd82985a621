"""``bootseal image build``: what goes in, what the engine is told, and what the image then says of itself."""

import base64
import dataclasses
import hashlib
import importlib.metadata
import io
import itertools
import json
import os
import pathlib
import shlex
import tarfile
import zipfile

import pytest

from container import application, context, engines, image_build, labels, looking, product
from contract import errors
from entrypoint import cli
from manifest import plan
from tests.unit.container import images

ORDER = engines.Build("/context", "/context/Containerfile", "/id", 1700000000)


def wishes(directory, **changes):
    made = image_build.Wishes(str(directory), "shop", base="base", platform="linux/amd64")
    return dataclasses.replace(made, **changes)


@pytest.fixture
def shop(tmp_path):
    return pathlib.Path(images.application(tmp_path / "shop"))


@pytest.fixture
def engine(shop, tmp_path, monkeypatch):
    files = {images.PLAN: images.plan_file(shop), images.LOCK: images.EMPTY_LOCK}
    return images.pretend(monkeypatch, tmp_path, images.Engine(engines.PODMAN, files))


# What the engines are told.


@pytest.mark.parametrize("engine", [engines.PODMAN, engines.BUILDAH])
def test_podman_and_buildah_are_told_the_time_and_add_nothing_of_their_own(engine):
    assert engines.build_words(engine, ORDER) == [
        *("build", "--quiet", "--file", "/context/Containerfile", "--iidfile", "/id", "--layers", "--pull=never"),
        *("--timestamp", "1700000000", "--identity-label=false", "/context"),
    ]


def test_docker_is_told_the_time_and_makes_no_attestation_that_differs_each_time():
    assert engines.build_words(engines.DOCKER, ORDER) == [
        *("build", "--quiet", "--file", "/context/Containerfile", "--iidfile", "/id"),
        *("--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--output", "type=docker,rewrite-timestamp=true"),
        *("--provenance=false", "--sbom=false", "/context"),
    ]


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_every_engine_is_told_the_whole_order(engine):
    order = dataclasses.replace(
        ORDER,
        arguments=(("NAME", "shop"),),
        labels=(("a", "b c"), ("d", "$e")),
        tags=("one", "two"),
        platform="linux/arm64",
        is_cached=False,
    )
    words = engines.build_words(engine, order)
    assert words[-1] == "/context"
    pairs = list(itertools.pairwise(words))
    for pair in (
        ("--build-arg", "NAME=shop"),
        ("--label", "a=b c"),
        ("--label", "d=$e"),
        ("--tag", "one"),
        ("--tag", "two"),
    ):
        assert pair in pairs, pair
    assert ("--platform", "linux/arm64") in pairs
    assert "--no-cache" in words and "--no-cache" not in engines.build_words(engine, ORDER)


def test_the_answers_of_all_engines_are_understood():
    wanted = engines.Image("a" * 64, f"sha256:{'d' * 64}", "arm64")
    podman = images.inspected(Architecture="arm64")
    docker = images.inspected(
        Id=f"sha256:{'a' * 64}", Digest=None, RepoDigests=[f"x@sha256:{'d' * 64}"], Architecture="arm64"
    )
    buildah = {"FromImageID": "a" * 64, "FromImageDigest": f"sha256:{'d' * 64}", "OCIv1": {"architecture": "arm64"}}
    assert engines.described(engines.PODMAN, podman) == wanted
    assert engines.described(engines.DOCKER, docker) == wanted
    assert engines.described(engines.BUILDAH, json.dumps(buildah)) == wanted
    never_pushed = images.inspected(Digest=None, RepoDigests=[])
    assert engines.described(engines.DOCKER, never_pushed).digest is None


@pytest.mark.parametrize("answer", ["", "[]", "{}", "[1]", "[{}]", "null", '[{"Id": 3, "Architecture": "x"}]'])
def test_an_answer_that_is_none_is_a_refusal(answer):
    for kind in engines.ENGINES:
        assert "is not understood" in images.refusal(lambda kind=kind: engines.described(kind, answer))


# What is asked for.


@pytest.mark.parametrize(("platform", "machine"), [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")])
def test_the_wheels_are_those_of_the_image_s_machine(platform, machine):
    assert wishes("x", platform=platform).machine == machine


def test_a_machine_that_no_wheels_are_locked_for_is_refused_with_those_that_are():
    text = images.refusal(lambda: wishes("x", platform="linux/riscv64").machine)
    assert "linux/riscv64" in text and "linux/arm64" in text


def test_the_time_is_the_variable_s_and_anything_else_in_it_is_refused():
    assert image_build.epoch({}) == image_build.epoch({"SOURCE_DATE_EPOCH": ""}) == 1577836800
    assert image_build.epoch({"SOURCE_DATE_EPOCH": "0"}) == 0
    for text in ("now", "-1", "1.5", " 1", "1" * 12, "١"):
        assert "SOURCE_DATE_EPOCH" in images.refusal(lambda text=text: image_build.epoch({"SOURCE_DATE_EPOCH": text}))


def test_the_containerfile_is_the_one_given_else_the_application_s_else_bootseal_s(shop, tmp_path):
    assert context.recipe(str(shop), None).is_packaged
    (shop / "Containerfile").write_text("ARG BASE='debian:12'\nFROM ${BASE}\nARG NAME\n")
    own = context.recipe(str(shop), None)
    assert not own.is_packaged and own.arguments == {"BASE": "debian:12", "NAME": ""}
    other = tmp_path / "Other"
    other.write_text("FROM scratch\n")
    assert context.recipe(str(shop), str(other)).arguments == {}
    assert "No such file" in images.refusal(lambda: context.recipe(str(shop), str(tmp_path / "gone")))
    other.write_bytes(b"\xff")
    assert "not UTF-8" in images.refusal(lambda: context.recipe(str(shop), str(other)))


def test_what_would_hang_or_give_a_password_away_is_refused_or_left_alone(shop, monkeypatch):
    os.mkfifo(shop / "Containerfile")
    with pytest.raises(errors.BootsealError, match="no regular file"):
        context.recipe(str(shop), None)
    os.mkfifo(shop / "packages.txt")
    assert image_build._packages(str(shop)) == ()
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:word@index.example/simple")
    with pytest.raises(image_build.ImageRefused, match="holds credentials") as told:
        image_build._index()
    assert "word@" not in str(told.value)
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple?x=@")
    assert image_build._index() == "https://index.example/simple?x=@"


# The application.


def test_the_copy_leaves_out_caches_hidden_files_and_what_no_image_can_hold(shop, tmp_path):
    (shop / "sub" / "__pycache__").mkdir(parents=True)
    (shop / "sub" / "__pycache__" / "x.pyc").write_text("")
    (shop / "sub" / ".kept").write_text("")
    (shop / ".git").mkdir()
    (shop / ".env").write_text("SECRET")
    (shop / "sub" / ".env.local").write_text("SECRET")
    (shop / "sub" / ".env").write_text("SECRET")
    (shop / "sub" / ".git").write_text("gitdir: elsewhere")
    (shop / "link").symlink_to("../outside")
    os.mkfifo(shop / "pipe")
    (shop / "run").write_text("#!/bin/sh\n")
    (shop / "run").chmod(0o700)
    (shop / "sub").chmod(0o777)
    application.copy(str(shop), str(tmp_path / "copy"))
    copy = tmp_path / "copy"
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*")) == [
        "bootseal.yaml",
        "link",
        "run",
        "sub",
        "sub/.kept",
    ]
    modes = {path.name: path.lstat().st_mode & 0o777 for path in copy.rglob("*") if not path.is_symlink()}
    assert modes == {"bootseal.yaml": 0o644, "run": 0o755, "sub": 0o755, ".kept": 0o644}
    assert os.readlink(copy / "link") == "../outside"


@pytest.mark.parametrize("name", [".containerignore", ".dockerignore"])
def test_what_the_ignore_file_names_plainly_is_not_even_copied(shop, tmp_path, name):
    (shop / "node_modules" / "deep").mkdir(parents=True)
    (shop / "a.log").write_text("")
    (shop / name).write_text("# a comment\n/node_modules/\n*.log\n")
    application.copy(str(shop), str(tmp_path / "copy"))
    assert sorted(os.listdir(tmp_path / "copy")) == ["a.log", "bootseal.yaml"], "patterns are for the engine"


def test_ignored_patterns_are_moved_below_the_application_and_none_is_guessed_at():
    lines = ("*.log", "/top", "!keep.log", "**/*.pyc")
    assert application.below(lines, "app") == ["app/*.log", "app/top", "!app/keep.log", "app/**/*.pyc"]
    assert application.plain_paths(lines) == set(), "a later line may take it back"
    assert application.plain_paths(("a/b/", "*.x", "c")) == {"a/b", "c"}


def test_an_application_that_cannot_be_read_is_a_refusal(tmp_path):
    assert "No such file" in images.refusal(lambda: application.copy(str(tmp_path / "gone"), str(tmp_path / "copy")))


def test_the_digest_is_of_what_runs_and_not_of_times(tmp_path):
    def digest(name, change):
        place = pathlib.Path(images.application(tmp_path / name, run__py="1", README__md=name))
        change(place)
        return application.digest(str(place))

    first = digest("a", lambda place: os.utime(place / "run.py", (1, 1)))
    assert digest("b", lambda place: None) == first, "README.md differs, and does not run"
    changes = [
        lambda place: (place / "run.py").write_text("2"),
        lambda place: (place / "run.py").chmod(0o755),
        lambda place: (place / "run.py").rename(place / "run2.py"),
        lambda place: (place / "link").symlink_to("run.py"),
        lambda place: (place / "link").symlink_to("other"),
        lambda place: (place / "empty").mkdir(),
    ]
    assert len({first, *(digest(f"c{index}", change) for index, change in enumerate(changes))}) == len(changes) + 1


# The context.


def assembled(target, shop, tmp_path, **changes):
    made = context.recipe(str(shop), None)
    copy = tmp_path / f"{target.name}-copy"
    application.copy(str(shop), str(copy))
    ignored = application.ignore_lines(str(shop))
    ingredients = context.Ingredients(str(copy), ignored, made, images.Product(str(tmp_path)), "x86_64", 1700000000)
    context.assemble(str(target), dataclasses.replace(ingredients, **changes))
    return {str(path.relative_to(target)): path for path in target.rglob("*")}


def test_a_context_has_everything_and_is_the_same_each_time(shop, engine, tmp_path):
    (shop / ".dockerignore").write_text("*.log\n")
    before = os.umask(0o077)
    try:
        first = assembled(tmp_path / "one", shop, tmp_path)
    finally:
        os.umask(before)
    second = assembled(tmp_path / "two", shop, tmp_path)
    assert {name: path.lstat()[:1] + path.lstat()[8:9] for name, path in first.items()} == {
        name: path.lstat()[:1] + path.lstat()[8:9] for name, path in second.items()
    }, "modes and times"
    assert {int(path.lstat().st_mtime) for path in first.values()} == {1700000000}
    assert application.digest(str(tmp_path / "one")) == application.digest(str(tmp_path / "two"))
    wheel = "bootseal-0.1.0-py3-none-any.whl"
    assert {name for name, path in first.items() if path.is_file()} == {
        *(
            "Containerfile",
            ".dockerignore",
            "app/bootseal.yaml",
            "bin/bootseal",
            "bin/supervisorctl",
            f"product/{wheel}",
        ),
        *("installer/pip-26.3-py3-none-any.whl", "wheels/click-8.5.1-py3-none-any.whl"),
    }
    assert first[".dockerignore"].read_text() == "app/*.log\n"
    assert os.access(first["bin/bootseal"], os.X_OK)


def test_every_stage_says_the_time_in_words_that_a_cache_compares(shop, engine, tmp_path):
    text = assembled(tmp_path / "one", shop, tmp_path)["Containerfile"].read_text()
    lines = text.splitlines()
    stages = [index for index, line in enumerate(lines) if line.startswith("FROM ")]
    assert len(stages) == 3
    assert {lines[index + 1] for index in stages} == {'LABEL io.bootseal.epoch="1700000000"'}


def test_with_an_index_wheels_are_named_by_version_and_hash_and_the_installer_is_brought(shop, engine, tmp_path):
    found = assembled(tmp_path / "one", shop, tmp_path, is_from_index=True)
    assert [name for name in found if name.endswith(".whl")] == ["installer/pip-26.3-py3-none-any.whl"]
    digest = hashlib.sha256(b"wheel").hexdigest()
    assert found["product/requirements.txt"].read_text() == f"bootseal==0.1.0 --hash=sha256:{digest}\n"
    text = found["wheels/requirements.txt"].read_text()
    locked = pathlib.Path(product.REQUIREMENTS).read_text()
    assert "pip==" in locked and "pip==" not in text
    assert text.count("==") == locked.count("==") - 1 and text.count("sha256:") == locked.count("sha256:") - 1


# The build.


def test_an_image_is_built_in_two_steps_and_says_what_the_plan_in_it_says(shop, engine):
    built = image_build.build(wishes(shop, labels=(("org.opencontainers.image.source", "here"),), epoch=1700000000))
    first, second = engine.builds
    assert dict(first.arguments) == {"NAME": "shop", "PYTHON": "3.11", "BASE": "base", "PRODUCT_BASE": "base"}
    assert (first.tags, first.epoch, first.may_fetch, first.is_cached) == ((), 1700000000, False, True)
    assert engine.finishing[1] == f"FROM {'a' * 64}\nEXPOSE 8080/tcp\n"
    assert second.tags == (built.name,) and built.name.startswith("localhost/bootseal-shop:") and built.is_new
    assert not second.is_cached, "a cache does not compare labels"
    data = engine.files[images.PLAN]
    assert dict(second.labels) == {
        "org.opencontainers.image.title": "shop",
        "org.opencontainers.image.description": "shop, booted and sealed by bootseal",
        "org.opencontainers.image.version": plan.parse(data, "plan").bootseal,
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "org.opencontainers.image.base.name": "base",
        "org.opencontainers.image.base.digest": images.BASE.digest,
        "org.opencontainers.image.source": "here",
        "bootseal.plan": "/opt/bootseal/etc/plan.json",
        "io.bootseal.version": plan.parse(data, "plan").bootseal,
        "io.bootseal.manifest.sha256": hashlib.sha256((shop / "bootseal.yaml").read_bytes()).hexdigest(),
        "io.bootseal.plan.sha256": hashlib.sha256(data).hexdigest(),
        "io.bootseal.lock.sha256": hashlib.sha256(images.EMPTY_LOCK).hexdigest(),
    }
    assert {name for name, _ in second.annotations} == {labels.BASE_NAME, labels.BASE_DIGEST}


def test_an_image_of_the_same_inputs_is_used_as_it_is_unless_it_is_to_be_made_again(shop, engine):
    first = image_build.build(wishes(shop))
    again = image_build.build(wishes(shop, tags=("mine",)))
    assert (again.name, again.is_new, len(engine.builds)) == (first.name, False, 2)
    assert ("tag", (first.name, "mine")) in engine.was_told
    forced = image_build.build(wishes(shop, is_cached=False))
    assert (forced.name, forced.is_new, len(engine.builds)) == (first.name, True, 4)
    assert not engine.builds[2].is_cached


def test_whatever_changes_the_image_changes_its_name(shop, engine, monkeypatch):
    def name(**changes):
        return image_build.build(wishes(shop, **changes)).name

    names = [name(), name(epoch=5), name(labels=(("a", "b"),)), name(name="other")]
    (shop / "bootseal.yaml").write_text(images.MANIFEST + "# more\n")
    names.append(name())
    (shop / ".dockerignore").write_text("*.log\n")
    names.append(name())
    (shop / "Containerfile").write_text("ARG BASE\nFROM ${BASE}\n")
    names.append(name())
    engine.images["base"] = dataclasses.replace(images.BASE, id="c" * 64)
    names.append(name())
    monkeypatch.setattr(images.Product, "key", "other", raising=False)
    monkeypatch.setattr(
        images.Product,
        "__init__",
        lambda self, workspace: setattr(self, "_wheel", pathlib.Path(workspace) / "bootseal-1-x.whl"),
    )
    names.append(name())
    assert len(set(names)) == len(names)


def test_a_containerfile_of_the_application_is_told_what_it_asks_for_and_may_fetch(shop, engine):
    (shop / "Containerfile").write_text("ARG BASE=base\nFROM ${BASE}\n")
    built = image_build.build(wishes(shop, base=None))
    assert engine.builds[0].arguments == (("BASE", "base"),)
    assert engine.builds[0].may_fetch
    assert built.base == engines.Base("base", images.BASE)
    (shop / "Containerfile").write_text("FROM whatever\n")
    unknown = image_build.build(wishes(shop))
    assert unknown.base is None and labels.BASE_NAME not in dict(engine.builds[-1].labels)


def test_docker_is_given_a_name_where_it_takes_no_id(shop, engine):
    engine.kind = engines.DOCKER
    image_build.build(wishes(shop, engine=engines.DOCKER))
    assert ("tag", ("a" * 64, f"bootseal-unfinished:{'a' * 12}")) in engine.was_told
    assert engine.finishing[1].startswith(f"FROM bootseal-unfinished:{'a' * 12}\n")


def test_an_image_without_a_plan_is_refused_and_has_no_name(shop, engine):
    engine.files.clear()
    assert "there is no /opt/bootseal/etc/plan.json" in images.refusal(lambda: image_build.build(wishes(shop)))
    assert not any(order.tags for order in engine.builds)


def test_an_image_with_a_broken_plan_is_refused(shop, engine):
    engine.files[images.PLAN] = b"{}"
    assert "plan.json in the image" in images.refusal(lambda: image_build.build(wishes(shop)))


def test_a_base_of_another_machine_is_fetched_and_refused_when_that_does_not_help(shop, engine, monkeypatch):
    assert "it is not here" in images.refusal(lambda: image_build.build(wishes(shop, platform="linux/arm64")))
    assert engine.was_told == [("pull", ("base", "linux/arm64"))]
    monkeypatch.setattr(engine, "pull", lambda name, platform: None)
    text = images.refusal(lambda: image_build.build(wishes(shop, platform="linux/arm64")))
    assert "it is for amd64, not for arm64" in text and not engine.builds


def test_a_base_of_debian_packages_is_made_for_this_machine_and_podman_s_storage_only(shop, engine):
    for changes in ({"platform": "linux/arm64"}, {"engine": engines.DOCKER}):
        assert "--base IMAGE" in images.refusal(
            lambda changes=changes: image_build.build(wishes(shop, base=None, **changes))
        )
    assert not engine.was_told


def test_the_name_bootseal_is_refused_because_its_folder_is_taken(shop, engine):
    assert "/opt/bootseal" in images.refusal(lambda: image_build.build(wishes(shop, name="bootseal")))


def test_a_context_of_one_s_own_is_made_and_never_over_something(shop, engine, tmp_path):
    arguments = image_build.prepare(wishes(shop), str(tmp_path / "out"))
    assert ("NAME", "shop") in arguments and (tmp_path / "out" / "app" / "bootseal.yaml").exists()
    assert "it is there" in images.refusal(lambda: image_build.prepare(wishes(shop), str(tmp_path / "out")))


@pytest.mark.parametrize(
    "text", ["novalue", "=x", "io.bootseal.plan.sha256=x", "bootseal.plan=x", "a=\n", f"{labels.BASE_NAME}=x"]
)
def test_a_label_is_refused_where_it_is_none_or_is_read_from_the_image(text):
    assert "label" in images.refusal(lambda: labels.wished((text,)))
    assert labels.wished(("a=b=c", "a=d")) == {"a": "d"}


# The command.


def test_a_manifest_with_errors_is_told_before_anything_is_built(shop, engine, capsys):
    (shop / "bootseal.yaml").write_text("version: 1\nname: shop\n")
    assert cli.main(["image", "build", str(shop), "--base", "base"]) == 2
    assert "error[E061]" in capsys.readouterr().err
    assert not engine.was_told


def test_what_was_built_is_printed_for_people_and_for_programs(shop, engine, capsys):
    words = ["image", "build", str(shop), "--base", "base", "--platform", "linux/amd64", "--tag", "mine"]
    assert cli.main([*words, "--format", "json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["image"].startswith("localhost/bootseal-shop:") and value["tags"] == ["mine"] and value["new"]
    assert cli.main([*words, "--format", "name"]) == 0
    assert capsys.readouterr().out == f"{value['image']}\n"
    assert cli.main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"image   {value['image']}" and out[1] == "tag     mine" and out[2] == f"id      {value['id']}"


def test_a_failure_of_the_engine_is_one_line_and_exit_code_1(shop, engine, capsys):
    assert cli.main(["image", "build", str(shop), "--base", "nosuch", "--platform", "linux/amd64"]) == 1
    assert "bootseal: image nosuch: it is not here" in capsys.readouterr().err


def test_what_builds_a_context_is_printed_as_a_shell_takes_it(shop, engine, tmp_path, capsys):
    out = str(tmp_path / "my context")
    words = ["image", "context", str(shop), "--base", "base", "--platform", "linux/amd64", "-o", out]
    assert cli.main(words) == 0
    printed = shlex.split(capsys.readouterr().out)
    assert printed[:2] == ["podman", "build"] and printed[-1] == out
    assert {"NAME=shop", "BASE=base", "--timestamp", "linux/amd64"} <= set(printed)
    assert not engine.builds


# bootseal's own wheel.


def installed(site, change=None):
    """Return a distribution as pip installs it into ``site``, from a wheel of two files."""
    files = {
        "bootseal_room/__init__.py": b"x = 1\n",
        "bootseal_room/run": b"#!/bin/sh\n",
        "bootseal-9.dist-info/METADATA": b"Metadata-Version: 2.1\nName: bootseal\nVersion: 9\n",
        "bootseal-9.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
    }
    rows = []
    for name, data in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        rows.append(
            f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        )
    (site / "bootseal_room/run").chmod(0o755)
    rows += ["../../bin/bootseal,sha256=x,1", "bootseal_room/__pycache__/__init__.cpython-311.pyc,,"]
    rows += [
        "bootseal-9.dist-info/INSTALLER,,",
        "bootseal-9.dist-info/direct_url.json,,",
        "bootseal-9.dist-info/RECORD,,",
    ]
    (site / "bootseal-9.dist-info/RECORD").write_text("\n".join(rows) + "\n")
    if change:
        change(site)
    return importlib.metadata.PathDistribution(site / "bootseal-9.dist-info")


def test_an_installation_is_put_together_again_to_the_wheel_it_came_from(tmp_path):
    (tmp_path / "out").mkdir()
    path = product.repack(installed(tmp_path / "site"), str(tmp_path / "out"))
    assert os.path.basename(path) == "bootseal-9-py3-none-any.whl"
    with zipfile.ZipFile(path) as wheel:
        assert wheel.namelist()[-1] == "bootseal-9.dist-info/RECORD"
        assert {name for name in wheel.namelist() if "dist-info" not in name} == {
            "bootseal_room/__init__.py",
            "bootseal_room/run",
        }
        assert wheel.getinfo("bootseal_room/run").external_attr >> 16 == 0o100755
        assert b"INSTALLER" not in wheel.read("bootseal-9.dist-info/RECORD")
    before = pathlib.Path(path).read_bytes()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as wheel:
        entries = [(entry.filename, wheel.read(entry), entry.external_attr) for entry in wheel.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:  # as another tool would have made it
        for name, data, attributes in reversed(entries):
            entry = zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6))
            entry.external_attr = attributes
            wheel.writestr(entry, data)
    assert pathlib.Path(path).read_bytes() != before
    product.normalise(path)
    assert pathlib.Path(path).read_bytes() == before


def test_an_installation_that_was_edited_goes_into_no_image(tmp_path):
    def edit(site):
        (site / "bootseal_room/__init__.py").write_text("x = 2\n")

    text = images.refusal(lambda: product.repack(installed(tmp_path / "site", edit), str(tmp_path)))
    assert "bootseal_room/__init__.py" in text and "not as it was installed" in text


def test_what_was_not_installed_from_a_wheel_is_refused(tmp_path):
    def remove(site):
        record = site / "bootseal-9.dist-info/RECORD"
        record.write_text("".join(line for line in record.read_text().splitlines(keepends=True) if "WHEEL" not in line))

    assert "from a wheel" in images.refusal(lambda: product.repack(installed(tmp_path / "site", remove), str(tmp_path)))


# What lies in an image.


def test_an_image_is_looked_into_without_following_anything():
    status = (
        b"Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nSource: zlib (1:1.2)\nVersion: 1:1.2-5\n"
        b"Description: a\n b\n Package: not-one\n\n"
        b"Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n"
        b"Package: adduser\nStatus: hold ok installed\nArchitecture: all\nVersion: 3\n"
    )
    files = {
        "/etc/os-release": b'ID=debian\nVERSION_ID="12"\n# no\n',
        "/var/lib/dpkg/status": status,
        "/srv/site/Click-8.dist-info/METADATA": b"Name: Click\nVersion: 8\n\nName: not-this\n",
        "/srv/site/Click-8.dist-info/direct_url.json": json.dumps(
            {"archive_info": {"hashes": {"sha256": "c" * 64}}}
        ).encode(),
        "/srv/site/old-1.dist-info/METADATA": b"Name: old\nVersion: 1\n",
        "/srv/site/old-1.dist-info/direct_url.json": json.dumps(
            {"archive_info": {"hash": f"sha256={'d' * 64}"}}
        ).encode(),
        "/srv/site/git-1.dist-info/METADATA": b"Name: git\nVersion: 1\n",
        "/srv/site/git-1.dist-info/direct_url.json": json.dumps({"vcs_info": {}}).encode(),
        "/srv/site/fixture-1.dist-info/METADATA": b"Version: 1\n",
        "/home/x/plan.json": b"no",
    }
    made = io.BytesIO(images.archive(files))
    with tarfile.open(fileobj=made, mode="a") as tar:
        link = tarfile.TarInfo(images.PLAN.lstrip("/"))
        link.type, link.linkname = tarfile.SYMTYPE, "/home/x/plan.json"
        tar.addfile(link)
    found = looking.look(io.BytesIO(made.getvalue()))
    assert found.plan is None and found.lock is None
    assert found.release == {"ID": "debian", "VERSION_ID": "12"}
    assert found.packages == (
        looking.DebianPackage("adduser", "3", "all", "adduser"),
        looking.DebianPackage("zlib1g", "1:1.2-5", "amd64", "zlib"),
    )
    assert [(one.name, one.sha256) for one in found.distributions] == [
        ("Click", "c" * 64),
        ("git", ""),
        ("old", "d" * 64),
    ]
    assert found.nameless == ("/srv/site/fixture-1.dist-info",)


def test_an_image_without_dpkg_tells_its_packages_by_their_own_files():
    files = {
        "/var/lib/dpkg/status.d/base": b"Package: base-files\nVersion: 12\nArchitecture: amd64\n",
        "/var/lib/dpkg/status.d/base.md5sums": b"Package: no\nVersion: 12\nArchitecture: amd64\n",
    }
    assert [
        one.name
        for one in looking.judge({path: data for path, data in files.items() if looking.is_wanted(path)}).packages
    ] == ["base-files"]


def test_a_broken_archive_and_a_huge_file_are_refusals(monkeypatch):
    whole = images.archive({images.PLAN: b"x" * 5000})
    assert "cannot be read" in images.refusal(lambda: looking.look(io.BytesIO(whole[:2000])))
    assert "cannot be read" in images.refusal(lambda: looking.look(io.BytesIO(b"no archive" * 100)))
    monkeypatch.setattr(looking, "LIMIT", 4999)
    assert "more than 4999 bytes" in images.refusal(lambda: looking.look(io.BytesIO(whole)))
    monkeypatch.setattr(looking, "LIMIT", 5000)
    monkeypatch.setattr(looking, "LIMIT_OF_ALL", 4999)
    assert "more than 4999 bytes" in images.refusal(lambda: looking.look(io.BytesIO(whole)))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff"])
def test_a_distribution_with_a_broken_origin_is_a_refusal(data):
    files = {"/s/x-1.dist-info/METADATA": b"Name: x\nVersion: 1\n", "/s/x-1.dist-info/direct_url.json": data}
    with pytest.raises(errors.BootsealError, match=r"direct_url\.json"):
        looking.judge(files)
