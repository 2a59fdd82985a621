"""The bill of materials: valid, complete, of exactly this image, and the same bytes each time."""

import dataclasses
import json

import pytest
from cyclonedx import schema
from cyclonedx.validation import json as validators

from artifacts import closure
from artifacts import lock as locks
from container import engines, looking, sbom
from contract import errors
from tests.unit.container import images

EPOCH = 1700000000
IMAGE = engines.Image("a" * 64, f"sha256:{'d' * 64}", "amd64")
SUBJECT = sbom.Subject("localhost:5000/team/bootseal-shop:0123456789ab", IMAGE)
ENTRIES = (closure.file("./api.py", 0o644, 3, "e" * 64),)
LOCK = closure.Lock((closure.Closure("api", "file", "./api.py", ENTRIES, closure.root_digest(ENTRIES)),))


@pytest.fixture
def contents(tmp_path):
    images.application(tmp_path / "shop")
    return looking.Contents(
        plan=images.plan_file(tmp_path / "shop"),
        lock=locks.dump(LOCK),
        release={"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian GNU/Linux 12"},
        packages=(
            looking.DebianPackage("libc6", "2.36-9+deb12u9", "amd64", "glibc"),
            looking.DebianPackage("zlib1g", "1:1.2.13.dfsg-1", "amd64", "zlib"),
        ),
        distributions=(
            looking.Distribution("PyYAML", "6.0.3", "/opt/bootseal/lib/pyyaml-6.0.3.dist-info", "f" * 64),
            looking.Distribution("typing_extensions", "4.1", "/opt/bootseal/lib/typing_extensions-4.1.dist-info", ""),
            looking.Distribution("PyYAML", "6.0.3", "/opt/shop/lib/pyyaml-6.0.3.dist-info", ""),
        ),
    )


def made(contents, subject=SUBJECT):
    return json.loads(sbom.dump(contents, subject, EPOCH))


def faults(data):
    found = validators.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(json.dumps(data))
    return None if found is None else str(found)


def test_it_is_what_cyclonedx_s_own_strict_schema_says(contents):
    value = made(contents)
    assert faults(value) is None
    assert faults({**value, "nosuch": 1}) is not None, "the validator would see it"


def test_it_names_the_image_by_its_id_and_what_was_sealed_into_it(contents):
    component = made(contents)["metadata"]["component"]
    assert (component["type"], component["name"], component["version"]) == ("container", "shop", f"sha256:{'a' * 64}")
    assert (
        component["purl"]
        == f"pkg:oci/bootseal-shop@sha256:{'d' * 64}?arch=amd64&repository_url=localhost:5000/team/bootseal-shop"
    )
    facts = {one["name"]: one["value"] for one in component["properties"]}
    assert facts.keys() == {"io.bootseal.plan.sha256", "io.bootseal.manifest.sha256", "io.bootseal.lock.sha256"}
    assert (
        "purl"
        not in made(contents, sbom.Subject("x", dataclasses.replace(IMAGE, digest=None)))["metadata"]["component"]
    )


def test_everything_that_was_found_is_in_it_with_its_purl_and_digest(contents):
    value = made(contents)
    found = {one.get("purl", one["name"]): one for one in value["components"]}
    assert set(found) == {
        "debian",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u9?arch=amd64&distro=debian-12",
        "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64&distro=debian-12",
        "pkg:pypi/pyyaml@6.0.3",
        "pkg:pypi/typing-extensions@4.1",
        "pkg:generic/shop/api",
    }
    assert len(value["components"]) == 7, "one version at two places is two components"
    digests = {one["bom-ref"].split("#")[-1]: one["hashes"] for one in value["components"] if "hashes" in one}
    assert digests == {
        "/opt/bootseal/lib/pyyaml-6.0.3.dist-info": [{"alg": "SHA-256", "content": "f" * 64}],
    }
    api = {one["name"]: one["value"] for one in found["pkg:generic/shop/api"]["properties"]}
    assert api["io.bootseal.closure.sha256"] == closure.root_digest(ENTRIES), "of many files, and so no hash of one"
    references = [one["bom-ref"] for one in value["components"]]
    assert len(set(references)) == len(references)
    [whole] = [one for one in value["dependencies"] if one["ref"] == value["metadata"]["component"]["bom-ref"]]
    assert sorted(whole["dependsOn"]) == sorted(references)


def test_the_same_image_gives_the_same_bytes_and_another_one_another_number(contents):
    first = sbom.dump(contents, SUBJECT, EPOCH)
    assert sbom.dump(contents, SUBJECT, EPOCH) == first
    value = json.loads(first)
    assert value["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    other = made(dataclasses.replace(contents, packages=contents.packages[:1]))
    assert other["serialNumber"] != value["serialNumber"]


def test_a_base_whose_packages_are_not_known_is_said_to_be_incomplete(contents):
    value = made(dataclasses.replace(contents, packages=(), release={}, lock=None))
    facts = {one["name"]: one["value"] for one in value["metadata"]["component"]["properties"]}
    assert "no packages" in facts["io.bootseal.sbom.incomplete"]
    assert "io.bootseal.lock.sha256" not in facts and faults(value) is None


@pytest.mark.parametrize("changes", [{"plan": None}, {"plan": b"{}"}, {"lock": b"no lock"}])
def test_an_image_whose_plan_or_lock_is_none_has_no_bill(contents, changes):
    with pytest.raises(errors.BootsealError, match="in the image"):
        sbom.dump(dataclasses.replace(contents, **changes), SUBJECT, EPOCH)


def test_a_thousand_packages_are_listed_and_valid(contents):
    many = tuple(looking.DebianPackage(f"package{index}", "1", "amd64", "s") for index in range(1000))
    value = made(dataclasses.replace(contents, packages=many))
    assert len(value["components"]) == 1005
    assert faults(value) is None


def test_it_is_written_whole_and_its_digest_is_told(contents, tmp_path):
    data = sbom.dump(contents, SUBJECT, EPOCH)
    path = tmp_path / "shop.cdx.json"
    assert sbom.write(str(path), data) and path.read_bytes() == data
    with pytest.raises(errors.BootsealError, match="--sbom"):
        sbom.write(str(tmp_path / "gone" / "x"), data)
