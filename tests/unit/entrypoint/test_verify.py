"""`bootseal verify`: which options mean something together, what it says, and what it exits with."""

import base64
import dataclasses
import hashlib
import json
import os

import pytest

from contract import files
from entrypoint import cli
from manifest import plan, provisions
from seal import record, signing_key
from tests.unit import boots


class Box:
    """A sealed container's run directory, its plan directory, and its public key in a file."""

    def __init__(self, path) -> None:
        artifacts = (provisions.ArtifactPlan("tool", "/opt/tool", required=False),)
        data = plan.dump(boots.make_plan(artifacts=artifacts))
        os.mkdir(f"{path}/plan")
        files.write_atomically(f"{path}/plan/{plan.PLAN_FILE}", data, 0o644)
        self.container = boots.container(
            f"{path}/run", plan_directory=f"{path}/plan", plan_sha256=hashlib.sha256(data).hexdigest()
        )
        self.found = record.Artifact("tool", None, "presence", usable=True, required=False)
        self.seal()
        self.key = f"{path}/key"
        files.write_atomically(self.key, signing_key.public_pem(self.container.key), 0o644)
        self.copy = f"{path}/copy"
        self.plan = f"{path}/plan"
        os.link(self.container.run.seal, self.copy)

    def seal(self, **changes) -> None:
        self.container.seal(artifacts=[dataclasses.asdict(dataclasses.replace(self.found, **changes))])

    @property
    def outside(self) -> list[str]:
        return ["--key", self.key, "--plan", self.plan]


@pytest.fixture
def box(tmp_path):
    return Box(str(tmp_path))


def verify(*arguments: str) -> int:
    return cli.main(["verify", *arguments])


def test_in_the_container_the_run_directory_is_enough(box, capsys):
    assert verify("--run-dir", box.container.run.path) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"accepted: {box.container.run.seal}\n")
    assert "artifact  tool, verified by presence" in said


def test_from_outside_the_record_the_key_and_the_plan_are_enough(box, capsys):
    os.rename(box.container.run.path, f"{box.container.run.path}.gone")
    assert verify("--seal", box.copy, *box.outside) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"accepted: {box.copy}\n")
    assert f"boot      {boots.BOOT_ID}, generation 1" in said
    assert verify("--seal", box.copy, *box.outside, "--generation", "1", "--format", "json") == 0
    value = json.loads(capsys.readouterr().out)
    assert value["accepted"] and value["seal"]["generation"] == 1


def test_from_outside_the_record_may_lie_in_a_run_directory(box, capsys):
    assert verify("--run-dir", box.container.run.path, *box.outside) == 0
    assert verify("--run-dir", "/no/such", *box.outside) == 1
    assert "seal /no/such/bootstrap.done: No such file" in capsys.readouterr().err


def test_an_artifact_that_was_not_usable_is_not_overlooked(box, capsys):
    box.seal(usable=False)
    assert verify("--run-dir", box.container.run.path, *box.outside) == 0
    assert "artifact  tool, NOT USABLE" in capsys.readouterr().out


def test_a_refusal_is_1_with_one_line_that_says_what_why_and_what_to_do(box, capsys, tmp_path):
    other = f"{tmp_path}/other"
    files.write_atomically(other, base64.b64encode(b"o" * 32), 0o644)
    rebuilt = f"{tmp_path}/rebuilt"
    os.mkdir(rebuilt)
    files.write_atomically(f"{rebuilt}/{plan.PLAN_FILE}", plan.dump(boots.make_plan(name="other")), 0o644)
    for arguments, kind, words in (
        (["--key", other, "--plan", box.plan], "BadSignature", "that is not the given one"),
        (["--key", box.key, "--plan", rebuilt], "NotThisPlan", "its plan_sha256 is"),
        ([*box.outside, "--generation", "2"], "NotThisBoot", "its generation is 1, and 2 was asked for"),
        (["--key", box.copy, "--plan", box.plan], "InvalidRecord", "it is no Ed25519 public key"),
        (["--key", box.key, "--plan", f"{tmp_path}/none"], "InvalidRecord", "No such file"),
    ):
        assert verify("--seal", box.copy, *arguments, "--format", "json") == 1, words
        said = capsys.readouterr()
        assert said.err.startswith("bootseal verify: ") and said.err.count("\n") == 1 and words in said.err
        refusal = json.loads(said.out)["refusal"]
        assert (refusal["kind"], json.loads(said.out)["accepted"]) == (kind, False)
        assert words in refusal["why"] and refusal["remedy"]
        assert kind == "InvalidRecord" or refusal["what"] == f"seal {box.copy}", "the file is named"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--key", "k"], "needs --plan DIR too"),
        (["--plan", "p"], "needs --key FILE too"),
        (["--seal", "s"], "--seal judges from outside"),
        (["--seal", "s", "--key", "k"], "needs --plan DIR too"),
        (["--generation", "1"], "--generation judges from outside"),
        (["--generation", "0", "--key", "k", "--plan", "p"], "--generation"),
        (["--live", "--key", "k", "--plan", "p"], "--live asks the running container"),
        (["--seal", "s", "--run-dir", "r", "--key", "k", "--plan", "p"], "leave one out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_options_that_mean_nothing_together_are_a_usage_error(arguments, words, capsys):
    assert verify(*arguments) == 2
    assert words in capsys.readouterr().err
