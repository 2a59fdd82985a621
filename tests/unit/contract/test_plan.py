"""``manifest.plan`` as boot meets it: the file that PID 1 reads, good, cut, edited and replaced."""

import dataclasses
import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import errors
from manifest import plan
from tests.unit import boots

GOOD = boots.make_plan(
    boots.program("migrate", oneshot=True, after=boots.needs(plan.STAGE_B), environment={"K": "v"}),
    boots.program("api", after=boots.needs("migrate"), directory="/srv"),
    boot=boots.boot_plan(writable=(plan.WritableRoot("/workspace", 0o750, "/opt/skel", True),)),
    artifacts=(plan.ArtifactPlan("api", "/opt/api", True),),
)


def test_a_plan_is_read_as_it_was_dumped_with_the_digest_of_its_bytes(tmp_path):
    (tmp_path / "plan.json").write_bytes(plan.dump(GOOD))
    loaded = plan.load(str(tmp_path))
    assert loaded.plan == GOOD
    assert loaded.sha256 == hashlib.sha256(plan.dump(GOOD)).hexdigest()
    assert loaded.config_path == f"{tmp_path}/supervisord.conf"


def test_equal_plans_have_equal_bytes():
    assert plan.dump(GOOD) == plan.dump(plan.parse(plan.dump(GOOD), "plan"))


def test_a_plan_cut_at_any_byte_is_refused():
    data = plan.dump(GOOD)
    assert data.endswith(b"}\n")
    for length in range(len(data) - 1):
        with pytest.raises(errors.InvalidRecord):
            plan.parse(data[:length], "plan")


@given(st.data())
def test_a_plan_edited_anywhere_is_parsed_or_refused_and_nothing_else(data):
    edited = bytearray(plan.dump(GOOD))
    edited[data.draw(st.integers(0, len(edited) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(plan.parse(bytes(edited), "plan"), plan.Plan)
    except errors.InvalidRecord as error:
        assert error.what == "plan"


def changed(**changes) -> plan.Plan:
    return dataclasses.replace(GOOD, **changes)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (changed(programs=(*GOOD.programs, boots.program("api"))), "stands twice"),
        (changed(programs=GOOD.programs[1:]), "probes, stage-b and seal once each"),
        (changed(programs=(*GOOD.programs, boots.program("other", role="seal"))), "probes, stage-b and seal once each"),
        (
            changed(programs=(*GOOD.programs, boots.program("other", role="admin"))),
            "probes, stage-b and seal once each",
        ),
        (changed(programs=(*GOOD.programs, boots.program("other", argv=()))), "has no command"),
        (changed(programs=(*GOOD.programs, boots.program("other", argv=("",)))), "has no command"),
        (
            changed(programs=(*GOOD.programs, boots.program("other", after=boots.needs("ghost")))),
            "waits for one that does not exist",
        ),
        (changed(boot=boots.boot_plan(on_failure="ignore")), "neither exit nor hold"),
        (changed(programs=boots.own_programs()), "no program is required"),
        (boots.make_plan(boots.program("api", required=False)), "no program is required"),
        (changed(schema="bootseal.plan/1"), "schema"),
    ],
)
def test_a_plan_whose_parts_do_not_fit_is_refused(bad, why):
    with pytest.raises(errors.InvalidRecord, match=why):
        plan.parse(plan.dump(bad), "plan")


def test_an_empty_required_set_is_accepted_only_where_the_plan_says_so_on_purpose():
    on_purpose = changed(programs=boots.own_programs(), empty_required_set=True)
    assert plan.parse(plan.dump(on_purpose), "plan").required_programs == ()


def test_the_required_programs_are_the_manifests_and_never_bootseals_own():
    assert [program.name for program in GOOD.required_programs] == ["migrate", "api"]
    assert GOOD.program("seal") is None
    assert GOOD.program(plan.SEAL).role == "seal"


def test_a_file_that_is_no_plan_is_refused_by_its_path(tmp_path):
    path = tmp_path / "plan.json"
    with pytest.raises(errors.InvalidRecord, match="No such file") as caught:
        plan.load(str(tmp_path))
    assert str(path) in caught.value.what
    path.mkdir()
    with pytest.raises(errors.UnsafePath, match="not a regular file"):
        plan.load(str(tmp_path))
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(errors.UnsafePath, match="not a regular file"):
        plan.load(str(tmp_path))
    path.unlink()
    (tmp_path / "real.json").write_bytes(plan.dump(GOOD))
    path.symlink_to("real.json")
    with pytest.raises(errors.InvalidRecord, match="symbolic links"):
        plan.load(str(tmp_path))
    path.unlink()
    with open(path, "wb") as file:
        file.truncate(17 * 1024 * 1024)
    with pytest.raises(errors.UnsafePath, match="more than"):
        plan.load(str(tmp_path))


def test_ten_megabytes_of_plan_are_refused_with_a_cause(tmp_path):
    value = json.loads(plan.dump(GOOD))
    value["bootseal"] = ["x" * (10 * 1024 * 1024)]
    (tmp_path / "plan.json").write_text(json.dumps(value))
    with pytest.raises(errors.InvalidRecord, match="bootseal is a list, not a string"):
        plan.load(str(tmp_path))


def test_a_plan_that_changed_after_stage_a_read_it_is_refused(tmp_path):
    (tmp_path / plan.PLAN_FILE).write_bytes(plan.dump(boots.make_plan()))
    loaded = plan.load(str(tmp_path))
    booted = boots.boot(plan_directory=str(tmp_path), plan_sha256=loaded.sha256)
    assert plan.load_of_boot(booted) == loaded
    (tmp_path / plan.PLAN_FILE).write_bytes(plan.dump(dataclasses.replace(boots.make_plan(), name="another")))
    with pytest.raises(errors.InvalidRecord, match="changed after Stage A"):
        plan.load_of_boot(booted)
