"""What a manifest says of keys, secrets, artifacts, runtimes and users, as it stands in the plan."""

import pathlib

from manifest import compile as compiling
from manifest import locked, plan, provisions
from tests.unit.manifest import manifests

HEAD = "version: 1\nname: x\nprograms: {api: {command: [api], artifacts: [%s]}}\n"
RELOCATION = compiling.Relocation("/tmp/up/root", loopback_only=True, strict=False, listen=None)


def compiled(folder: pathlib.Path, text: str, **options: object) -> plan.Plan:
    result = manifests.load(folder, text, compiling.BuildOptions(**options))  # type: ignore[arg-type]
    assert result.plan is not None, "\n".join(map(str, result.diagnostics))
    return plan.parse(plan.dump(result.plan), "plan.json")


def test_the_key_that_signs_the_seal_is_there_unasked(tmp_path: pathlib.Path) -> None:
    assert compiled(tmp_path, manifests.SMALL).identity.keys == (provisions.KeyPlan("ed25519", None, None),)
    asked = manifests.SMALL + "identity: {keys: [nostr]}\n"
    assert [key.kind for key in compiled(tmp_path, asked).identity.keys] == ["ed25519", "nostr"]


def test_a_key_says_where_it_comes_from(tmp_path: pathlib.Path) -> None:
    text = (
        HEAD % ""
        + 'identity: {keys: {nostr: {secret: n}, ed25519: {file: "${here}/k.pem"}}}\nsecrets: {n: {file: /n}}\n'
    )
    made = compiled(tmp_path, text).identity
    assert made.keys == (
        provisions.KeyPlan("ed25519", f"{tmp_path}/k.pem", None),
        provisions.KeyPlan("nostr", None, "n"),
    )
    assert made.key("nostr") == made.keys[1]
    assert made.key("rsa") is None


def test_every_source_of_a_secret_is_in_the_plan_and_no_value(tmp_path: pathlib.Path) -> None:
    text = HEAD % "" + (
        "secrets:\n"
        "  a: {generate: 32, env: A_KEY, programs: [api]}\n"
        '  b: {file: "${here}/b", programs: [api]}\n'
        "  c: {mounted: /run/secrets/c, programs: [api]}\n"
        "  d: {variable: D, generate: 16, programs: [api]}\n"
    )
    assert compiled(tmp_path, text).secrets == (
        provisions.SecretPlan("a", 32, None, None, None, "A_KEY", ("api",)),
        provisions.SecretPlan("b", None, f"{tmp_path}/b", None, None, None, ("api",)),
        provisions.SecretPlan("c", None, None, "/run/secrets/c", None, None, ("api",)),
        provisions.SecretPlan("d", 16, None, None, "D", None, ("api",)),
    )


def test_a_program_names_the_file_of_its_own_secret(tmp_path: pathlib.Path) -> None:
    text = (
        'version: 1\nname: x\nprograms: {api: {command: [api, "--key=${secret:a}"]}}\n'
        "secrets: {a: {generate: 16, programs: [api]}}\n"
    )
    api = compiled(tmp_path, text, run_directory="/run/x").program("api")
    assert api is not None
    assert api.argv == ("api", "--key=/run/x/secrets/api/a")


LOCK = locked.Locked("cd" * 32, {"t": locked.Artifact("/t", "tree"), "u": locked.Artifact("/u", "elf")})


def test_with_a_lock_artifacts_are_verified_by_digest_unless_they_say_otherwise(tmp_path: pathlib.Path) -> None:
    text = HEAD % "t, u, v, w" + (
        "artifacts: {t: /t, u: {path: /u, verify: metadata, kind: elf}, v: {path: /v, verify: presence},"
        " w: {path: /w, required: false, check: {exec: [w, --version], timeout: 3s}}}\n"
    )
    made = manifests.load(tmp_path, text, compiling.BuildOptions(lock=LOCK)).plan
    assert made is not None
    assert made.lock == provisions.LockPlan("cd" * 32, str(tmp_path))
    assert made.artifacts == (
        plan.ArtifactPlan("t", "/t", True, None, "digest"),
        plan.ArtifactPlan("u", "/u", True, "elf", "metadata"),
        plan.ArtifactPlan("v", "/v", True, None, "presence"),
        plan.ArtifactPlan("w", "/w", False, None, "digest", provisions.ArtifactCheck(("w", "--version"), "/w", 3.0)),
    )


def test_without_a_lock_they_only_have_to_be_there(tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, HEAD % "t" + "artifacts: {t: /t}\n")
    assert made.lock is None
    assert [artifact.verify for artifact in made.artifacts] == ["presence"]


def test_all_runtimes_are_all(tmp_path: pathlib.Path) -> None:
    assert compiled(tmp_path, manifests.SMALL).runtimes == ()
    assert compiled(tmp_path, manifests.SMALL + "runtimes: [node, r]\n").runtimes == ("node", "r")
    assert compiled(tmp_path, manifests.SMALL + "runtimes: all\n").runtimes == provisions.RUNTIMES


USERS = """\
version: 1
name: x
security: {exceptions: {program-users: {reason: strangers}}}
boot: {writable: [{path: /srv, owner: 1001}]}
programs: {api: {command: [api], user: "1001:5"}}
"""


def test_programs_have_users_under_the_exception(tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, USERS)
    assert made.has_program_users
    assert made.exceptions == (provisions.ExceptionPlan("program-users", "strangers"),)
    assert made.boot.writable[0].owner == provisions.User(1001, 1001)
    assert {program.name: program.user for program in made.programs} == {
        "probes": None, "bootstrap": None, "api": provisions.User(1001, 5), "bootstrap-seal": None,
    }  # fmt: skip


def test_bootseal_up_applies_no_users_and_says_so(tmp_path: pathlib.Path) -> None:
    result = manifests.load(tmp_path, USERS, compiling.BuildOptions(relocation=RELOCATION))
    assert [found.code for found in result.diagnostics] == ["W008"]
    assert result.plan is not None
    assert not result.plan.has_program_users
    assert {program.user for program in result.plan.programs} == {None}
    assert result.plan.boot.writable[0].owner is None
