"""Each rule, by the smallest manifest that breaks it: the code, where it points, and what it says to do.

``«`` and ``»`` mark the place that the diagnostic must point at; they are taken out before the manifest is compiled.
"""

import dataclasses
import pathlib
import re

import pytest

from contract import rundir
from manifest import compile as compiling
from manifest import rules
from tests.unit.manifest import manifests

HEAD = "version: 1\nname: x\n"
ONE = HEAD + "programs:\n  a: {command: [a]}\n"
PROGRAM = HEAD + "programs:\n  a:\n    command: [a]\n"
CHAIN = "".join(f"  p{number}: {{command: [a]}}\n" for number in range(1001))


@dataclasses.dataclass(frozen=True)
class Case:
    code: str
    text: str
    says: str
    relocated: bool = False


CASES = [
    Case("E003", ONE + "# «\x1b[31m", "U+001B"),
    Case("E004", "# nothing but a comment\n", "begin with `version: 1`"),
    Case("E005", HEAD + "programs:\n«\ta: {command: [a]}\n", "indent with spaces"),
    Case("E005", HEAD + "programs:\n  a: {command: [«@x]}\n", "put it in quotes"),
    Case("E005", HEAD + "programs:\n  a: {command: [a]\n«b: 1\n", "that began at line 4"),
    Case("E005", HEAD + "boot: strict«: true\n", "a second `: `"),
    Case("E006", ONE + "«---\n" + ONE, "one document"),
    Case("E007", "«- version: 1\n", "a list, not a mapping"),
    Case("E007", "«just text»\n", "a single value, not a mapping"),
    Case("E008", "a: " + "[" * 49 + "«[", "50 deep"),
    Case("E009", "a: &a [" + "x," * 999 + "x]\nb: &b [" + "*a," * 98 + "«*a»,*a]\n", "100000"),
    Case("E010", ONE + "«name»: y\n", "line 2"),
    Case("E010", ONE + '« "name"»: y\n'.replace("« ", "«"), "line 2"),
    Case("E011", ONE + "«[a]: b\n", "must be text"),
    Case("E011", ONE + "«~»: b\n", "must be text"),
    Case("E012", HEAD + "programs:\n  a: {command: [«!!str 1»]}\n", "remove the tag"),
    Case("E012", HEAD + "boot: «!!python/object/apply:os.system {}\nprograms: {a: {command: [a]}}\n", "remove the tag"),
    Case("E013", HEAD + "programs:\n  b: &b {command: [b]}\n  a: {«<<»: *b}\n", "write its keys out"),
    Case("E014", HEAD + "programs:\n  a: {command: &cmd [a]}\n  b: {command: «*cmb»}\n", "write `*cmd`"),
    Case("E014", HEAD + "programs: &p {a: «*p»}\n", "inside what it names"),
    Case("E020", PROGRAM + "    «envirnoment»: {}\n", "write `environment`"),
    Case("E020", PROGRAM + "    ready: {«http»: x}\n", "the keys here are running, for"),
    Case("E020", ONE + "«Boot»: {}\n", "write `boot`"),
    Case("E020", HEAD + "programs:\n  a: {«comand»: [a]}\n", "write `command`"),
    Case("E020", "version: 1\n«nmae»: x\nprograms: {a: {command: [a]}}\n", "write `name`"),
    Case("E021", "«name: x\nprograms: {a: {command: [a]}}\n", "add `version: 1`"),
    Case("E021", HEAD + "programs:\n  «a»: {oneshot: true}\n", "`programs.a` has no `command`"),
    Case("E021", ONE + "boot: {writable: [«{mode: 755}]}\n", "`boot.writable[0]` has no `path`"),
    Case("E022", ONE + "boot: «[]\n", "`boot` is a list, not a mapping"),
    Case("E022", PROGRAM + "    after: «b»\n", "write [item, item]"),
    Case("E022", HEAD + "programs:\n  a: {command: [«[a]]}\n", "a list stands where text belongs"),
    Case("E022", ONE + "boot: {strict: «{}}\n", "a mapping stands where true or false belongs"),
    Case("E023", ONE + "boot: {strict: «no»}\n", "write false"),
    Case("E023", ONE + "boot: {strict: «True»}\n", "write true"),
    Case("E023", ONE + 'boot: {strict: «"true"»}\n', "it is quoted"),
    Case("E023", ONE + "boot: {strict: «1»}\n", "write true or false"),
    Case("E024", PROGRAM + "    start_retries: «1001»\n", "0 to 1000"),
    Case("E024", PROGRAM + "    start_retries: «-1»\n", "0 to 1000"),
    Case("E024", PROGRAM + "    start_retries: «010»\n", "without quotes and leading zeros"),
    Case("E024", PROGRAM + '    start_retries: «"1"»\n', "without quotes and leading zeros"),
    Case("E024", PROGRAM + "    start_retries: «true»\n", "not a whole number"),
    Case("E025", HEAD + "programs:\n  a: {command: [a, «~»]}\n", "null stands where text belongs"),
    Case("E025", PROGRAM + "    environment: {«A»: }\n", '"" for empty text'),
    Case("E025", ONE + "«boot»:\n", "`boot` has no value"),
    Case("E025", ONE + "boot: {«immutable»: }\n", "a list belongs there"),
    Case("E025", PROGRAM + "    directory: «null»\n", "null stands where text belongs"),
    Case("E026", PROGRAM + "    stop: {signal: «SIGINT»}\n", "write INT"),
    Case("E026", ONE + "boot: {on_failure: «hld»}\n", "write hold"),
    Case("E026", ONE + "boot: {writable: [{path: /x, mount: «yes»}]}\n", "any or required"),
    Case("E026", PROGRAM + "    ready: {running: «false»}\n", "write true, or remove it"),
    Case("E027", ONE + "boot: {seal_timeout: «120»}\n", "write 120s for seconds"),
    Case("E027", ONE + "boot: {seal_timeout: «0s»}\n", "more than 0s"),
    Case("E027", ONE + "boot: {seal_timeout: «24h1ms»}\n", "at most 24h"),
    Case("E027", ONE + "boot: {seal_timeout: «1.5s»}\n", "250ms, 10s, 1m30s"),
    Case("E027", ONE + 'boot: {seal_timeout: «""»}\n', "250ms, 10s, 1m30s"),
    Case("E027", PROGRAM + "    ready: {for: «61m»}\n", "0s to 1h"),
    Case("E027", PROGRAM + "    stop: {timeout: «1500ms»}\n", "whole seconds"),
    Case("E028", "version: 1\nname: «My_App»\nprograms: {a: {command: [a]}}\n", "write `my-app`"),
    Case("E028", HEAD + "programs:\n  «api_v2»: {command: [a]}\n", "write `api-v2`"),
    Case("E028", "version: 1\nname: «" + "a" * 64 + "»\nprograms: {a: {command: [a]}}\n", "at most 63"),
    Case("E028", ONE + "identity: {id: «-»}\n", "write a name like"),
    Case("E029", ONE + "boot: {writable: [«data»]}\n", "it is relative"),
    Case("E029", ONE + "boot: {writable: [«/a/../b»]}\n", "the component .."),
    Case("E029", ONE + "boot: {writable: [«/»]}\n", "the root of the file system"),
    Case("E029", ONE + "boot: {immutable: [«/a/»]}\n", "it ends in /"),
    Case("E029", ONE + "boot: {immutable: [«/a//b»]}\n", "it holds //"),
    Case("E029", PROGRAM + "    directory: «./src»\n", "write ${here}/src"),
    Case("E029", ONE + "boot: {writable: [«/" + "a" * 4095 + "»]}\n", "longer than 4095 bytes"),
    Case("E030", ONE + "boot: {writable: [{path: /x, mode: «0999»}]}\n", 'write for example "0755"'),
    Case("E030", ONE + "boot: {writable: [{path: /x, mode: «4755»}]}\n", "three octal digits"),
    Case("E030", ONE + "boot: {writable: [{path: /x, mode: «0555»}]}\n", "begin with 7"),
    Case("E031", HEAD + "programs:\n  a: {command: «run --fast»}\n", "write [run, --fast]"),
    Case("E032", HEAD + "programs:\n  a: {command: «[]}\n", "the command is empty"),
    Case("E032", HEAD + 'programs:\n  a: {command: «["", x]}\n', "its first item is empty"),
    Case("E033", HEAD + 'programs:\n  a: {command: [a, «"\\0"»]}\n', "a NUL byte"),
    Case("E033", PROGRAM + '    environment: {A: «"x\\0y"»}\n', "a NUL byte"),
    Case("E034", PROGRAM + "    environment: {«MY-VAR»: 1}\n", "does not begin with a digit"),
    Case("E034", ONE + "boot: {environment: [«1A»]}\n", "does not begin with a digit"),
    Case("E035", PROGRAM + "    environment: {«BOOTSEAL_X»: 1}\n", "BOOTSEAL_…"),
    Case("E035", PROGRAM + "    environment: {«SUPERVISOR_ENABLED»: 1}\n", "SUPERVISOR_…"),
    Case("E035", ONE + "boot: {environment: [«BOOTSEAL_X»]}\n", "choose another name"),
    Case("E036", ONE + "probes: {listen: «8080»}\n", "host:port"),
    Case("E036", ONE + "probes: {listen: «localhost:8080»}\n", "looks no name up"),
    Case("E036", ONE + "probes: {listen: «127.0.0.1:0»}\n", "1 to 65535"),
    Case("E036", ONE + "probes: {listen: «127.0.0.1:65536»}\n", "1 to 65535"),
    Case("E036", ONE + 'probes: {listen: «"::1:8080"»}\n', "in brackets"),
    Case("E036", ONE + 'probes: {metrics: «"[127.0.0.1]:80"»}\n', "no brackets"),
    Case("E037", "version: «2»\nname: x\nprograms: {a: {command: [a]}}\n", "write `version: 1`"),
    Case("E037", 'version: «"1"»\nname: x\nprograms: {a: {command: [a]}}\n', "write `version: 1`"),
    Case("E037", "version: «1.0»\nname: x\nprograms: {a: {command: [a]}}\n", "write `version: 1`"),
    Case("E038", ONE + "required: «[a]\n", "write `required: true` in the programs"),
    Case("E040", HEAD + 'programs:\n  a: {command: [a, «"${her}/x"»]}\n', "write ${here}"),
    Case("E040", HEAD + 'programs:\n  a: {command: [a, «"${HOME}"»]}\n', "write $${"),
    Case("E040", HEAD + 'programs:\n  a: {command: [a, «"${here"»]}\n', "no closing brace"),
    Case("E040", HEAD + 'programs:\n  a: {command: [a, «"${writable:x}"»]}\n', "no absolute normal path"),
    Case("E041", ONE + 'boot: {writable: [/srv/data], immutable: [«"${writable:/srv/dat}"»]}\n', "${writable:/srv/data}"),
    Case("E042", ONE + 'boot: {writable: [«"${run}/x"»]}\n', "write the path"),
    Case("E043", ONE + "  b: {command: [b, «--data=/srv/x»]}\nboot: {writable: [/srv]}\n", "${writable:/srv}", relocated=True),
    Case("E043", PROGRAM + "    directory: «/srv»\nboot: {writable: [/srv]}\n", "${writable:/srv}", relocated=True),
    Case("E043", PROGRAM + "    environment: {A: «a:/srv»}\nboot: {writable: [/srv]}\n", "${writable:/srv}", relocated=True),
    Case("E050", HEAD + "programs:\n  «probes»: {command: [a]}\n", "my-probes"),
    Case("E050", HEAD + "programs:\n  «bootstrap-seal»: {command: [a]}\n", "reserved"),
    Case("E051", HEAD + "«programs»:\n" + CHAIN, "1001 programs"),
    Case("E052", ONE + "  b: {command: [b], after: [«aa»]}\n", "write `a`"),
    Case("E052", ONE + "  b: {command: [b], after: [«bootstrap»]}\n", "it starts first"),
    Case("E053", HEAD + "programs:\n  a: {command: [a], after: [«a»]}\n", "remove it"),
    Case("E054", ONE + "  b: {command: [b], after: [a, «a»]}\n", "keep one of them"),
    Case("E054", ONE + "boot: {environment: [A, «A»]}\n", "keep one of them"),
    Case("E054", ONE + "boot: {immutable: [/a, «/a»]}\n", "keep one of them"),
    Case("E054", PROGRAM + "    artifacts: [t, «t»]\nartifacts: {t: /t}\n", "keep one of them"),
    Case(
        "E055",
        HEAD + "programs:\n  a: {command: [a], after: [«c»]}\n  b: {command: [b], after: [a]}\n  c: {command: [c], after: [b]}\n",
        "a -> c -> b -> a",
    ),
    Case("E056", HEAD + "programs:\n  a: {command: [a], oneshot: true, «ready»: {for: 1s}}\n", "has exited 0"),
    Case("E057", PROGRAM + "    artifacts: [«tol»]\nartifacts: {tool: /t}\n", "write `tool`"),
    Case("E058", ONE + "boot: {writable: [/x, {path: «/x»}]}\n", "it stands twice"),
    Case("E059", ONE + "boot: {immutable: [/opt], writable: [«/opt/x»]}\n", "it lies in the immutable root /opt"),
    Case("E059", ONE + "boot: {immutable: [/opt/x], writable: [«/opt»]}\n", "it holds the immutable root /opt/x"),
    Case("E059", ONE + "boot: {immutable: [/opt], writable: [«/opt»]}\n", "in both lists"),
    Case("E059", ONE + "boot: {writable: [«/run/bootseal/x»]}\n", "the run directory"),
    Case("E059", ONE + "boot: {immutable: [«/run»]}\n", "the run directory"),
    Case("E060", ONE + "boot: {writable: [/var/lib]}\nidentity: {store: «/var/libx/id»}\n", "put it under /var/lib"),
    Case("E060", ONE + "identity: {store: «/id»}\n", "add /id to boot.writable"),
    Case("E061", HEAD + "«programs»:\n  a: {command: [a], required: false}\n", "write `required: []`"),
    Case("E061", "«" + HEAD, "no program is required"),
    Case("E062", ONE + "«required»: []\n", "`a` is"),
    Case("E063", ONE + 'probes: {metrics: «"127.0.0.1:8080"»}\n', "choose another port"),
    Case("E063", ONE + 'probes: {listen: "127.0.0.1:80", metrics: «"0.0.0.0:80"»}\n', "choose another port"),
    Case("E064", HEAD + "programs:\n  a: {command: [«/opt/é»]}\n", "U+00E9"),
    Case("E064", PROGRAM + "    directory: «/opt/a ;b»\n", "begins a comment"),
    Case("E064", PROGRAM + '    directory: «"/opt/a "»\n', "ends with a space"),
    Case("W001", HEAD + "programs:\n  a: {command: [a], required: false}\n  b: {command: [b], after: [«a»]}\n", "make a required"),
    Case("W002", ONE + "artifacts: {«t»: /t}\n", "used by no program"),
]  # fmt: skip

WITHOUT_A_PLACE = {"E001", "E002"}
"""Rules about the file itself; see test_source."""


def name_of(case: Case) -> str:
    return f"{case.code}-{re.sub(r'[^a-zA-Z0-9]+', '-', case.says)[:40]}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_broken_rule_is_reported_alone_at_its_place_with_a_remedy(case: Case, tmp_path: pathlib.Path) -> None:
    relocation = compiling.Relocation("/tmp/up/root", loopback_only=True, strict=False, listen=None)
    options = compiling.BuildOptions(run_directory=rundir.DEFAULT, relocation=relocation if case.relocated else None)
    plain = case.text.replace("«", "").replace("»", "")
    result = manifests.load(tmp_path, plain, options)
    assert set(manifests.codes(result)) == {case.code}, "\n".join(map(str, result.diagnostics))
    [found] = result.diagnostics
    assert case.says in str(found)
    assert (result.plan is None) == case.code.startswith("E")
    if "«" in case.text:
        before = case.text.partition("«")[0]
        line = before.count("\n") + 1
        assert found.place is not None
        assert (found.place.line, found.place.column) == (line, len(before) - before.rfind("\n"))
        marked = case.text.partition("«")[2].partition("»")
        if marked[1]:
            assert found.place.width == len(marked[0])


def test_every_rule_is_broken_by_a_test() -> None:
    assert {case.code for case in CASES} | WITHOUT_A_PLACE == set(rules.RULES)


def test_codes_are_stable() -> None:
    """A code may be added. One that changes its meaning or goes away breaks what people have written down."""
    titles = {
        "E001": "the manifest cannot be read",
        "E010": "duplicate key",
        "E020": "unknown key",
        "E021": "missing key",
        "E023": "neither true nor false",
        "E027": "not a duration in the range",
        "E040": "not an expression",
        "E052": "unknown program",
        "E055": "programs wait for each other",
        "E061": "no program is required",
        "W001": "a required program after an optional one",
    }
    assert {code: rules.RULES[code].title for code in titles} == titles


def test_the_documentation_is_the_table() -> None:
    document = pathlib.Path(__file__).parents[3] / "docs" / "diagnostics.md"
    expected = rules.document()
    assert document.read_text() == expected, "docs/diagnostics.md: write manifest.rules.document() to it"


def test_every_rule_says_what_and_why() -> None:
    assert [rule for rule in rules.RULES.values() if not rule.title or len(rule.explanation) < 20] == []
    assert all(re.fullmatch(r"[EW][0-9]{3}", code) for code in rules.RULES)
