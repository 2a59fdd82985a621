"""Each rule, by the smallest manifest that breaks it: the code, where it points, and what it says to do.

``«`` and ``»`` mark the place that the diagnostic must point at; they are taken out before the manifest is compiled.
"""

import dataclasses
import pathlib
import re

import pytest

from contract import rundir
from manifest import compile as compiling
from manifest import locked, rules
from tests.unit.manifest import manifests

HEAD = "version: 1\nname: x\n"
ONE = HEAD + "programs:\n  a: {command: [a]}\n"
PROGRAM = HEAD + "programs:\n  a:\n    command: [a]\n"
USERS = "security: {exceptions: {program-users: {reason: because}}}\n"
CHAIN = "".join(f"  p{number}: {{command: [a]}}\n" for number in range(1001))


@dataclasses.dataclass(frozen=True)
class Case:
    code: str
    text: str
    says: str
    relocated: bool = False
    lock: locked.Lock = None


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
    Case("E020", PROGRAM + "    ready: {«zzzz»: x}\n", "the keys here are http, tcp, unix"),
    Case("E020", PROGRAM + "    ready: {http: {url: 'http://127.0.0.1/', «stats»: 1}}\n", "write `status`"),
    Case("E020", ONE + "  b: {command: [b], after: [{a: {«bnd»: true}}]}\n", "write `bind`"),
    Case("E020", ONE + "  b: {command: [b], after: {a: {«bnd»: true}}}\n", "write `bind`"),
    Case("E020", PROGRAM + "    live: {«htp»: 'http://127.0.0.1/'}\n", "write `http`"),
    Case("E020", ONE + "signals: {HUP: {programs: [a], «sa»: HUP}}\n", "the keys here are programs, as"),
    Case("E020", ONE + "«Boot»: {}\n", "write `boot`"),
    Case("E020", HEAD + "programs:\n  a: {«comand»: [a]}\n", "write `command`"),
    Case("E020", "version: 1\n«nmae»: x\nprograms: {a: {command: [a]}}\n", "write `name`"),
    Case("E021", "«name: x\nprograms: {a: {command: [a]}}\n", "add `version: 1`"),
    Case("E021", HEAD + "programs:\n  «a»: {oneshot: true}\n", "`programs.a` has no `command`"),
    Case("E021", ONE + "boot: {writable: [«{mode: 755}]}\n", "`boot.writable[0]` has no `path`"),
    Case("E021", PROGRAM + "    ready: {«http»: {status: 200}}\n", "`programs.a.ready.http` has no `url`"),
    Case("E021", PROGRAM + "    ready: {«exec»: {timeout: 1s}}\n", "`programs.a.ready.exec` has no `command`"),
    Case("E021", ONE + "signals: {«HUP»: {as: USR1}}\n", "has no `programs`"),
    Case("E022", PROGRAM + "    live: «true»\n", "a single value, not a mapping"),
    Case("E025", ONE + "  b: {command: [b], after: [«~»]}\n", "has no value"),
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
    Case("E024", PROGRAM + "    ready: {fd: «2»}\n", "0 to 2 are the standard streams"),
    Case("E024", PROGRAM + "    ready: {fd: «100»}\n", "3 to 99"),
    Case("E024", PROGRAM + "    ready: {tcp: 1}\n    live: {failures: «0»}\n", "1 to 100"),
    Case("E024", PROGRAM + "    restart: {limit: «0»}\n", "1 to 1000"),
    Case("E026", PROGRAM + "    ready: {notify: «false»}\n", "write true, or remove it"),
    Case("E026", PROGRAM + "    on_exit: «exti»\n", "write exit"),
    Case("E026", PROGRAM + "    on_fatal: «no»\n", "exit, degrade or restart"),
    Case("E026", ONE + "  b: {command: [b], after: {a: «start»}}\n", "write started"),
    Case("E026", ONE + "  b: {command: [b], after: [{a: {is: «up»}}]}\n", "ready or started"),
    Case("E026", ONE + "signals: {«TERM»: [a]}\n", "HUP, USR1, USR2"),
    Case("E026", ONE + "signals: {«SIGHUP»: [a]}\n", "write HUP"),
    Case("E026", ONE + "signals: {HUP: {programs: [a], as: «SIGWINCH»}}\n", "write WINCH"),
    Case("E027", ONE + "stop: {drain: «11m»}\n", "0s to 10m"),
    Case("E027", ONE + "stop: {grace: «0s»}\n", "more than 0s"),
    Case("E027", PROGRAM + "    ready: {tcp: {address: 1, timeout: «0s»}}\n", "at most 10m"),
    Case("E027", PROGRAM + "    ready: {notify: true, watchdog: «10»}\n", "write 10s"),
    Case("E027", PROGRAM + "    ready: {timeout: «25h»}\n", "at most 24h"),
    Case("E027", PROGRAM + "    ready: {tcp: 1}\n    live: {period: «1ms»}\n", "100ms to 1h"),
    Case("E027", PROGRAM + "    restart: {backoff: «0s»}\n", "more than 0s and at most 1h"),
    Case("E027", PROGRAM + "    restart: {within: «25h»}\n", "at most 24h"),
    Case("E029", PROGRAM + "    ready: {unix: «a.sock»}\n", "write ${here}/a.sock"),
    Case("E031", PROGRAM + "    ready: {exec: «redis-cli ping»}\n", "write [redis-cli, ping]"),
    Case("E032", PROGRAM + "    ready: {exec: «[]}\n", "the command is empty"),
    Case("E033", PROGRAM + '    ready: {exec: [a, «"\\0"»]}\n', "a NUL byte"),
    Case("E039", PROGRAM + "    ready: {http: «'https://127.0.0.1/x'»}\n", "write http://127.0.0.1/x"),
    Case("E039", PROGRAM + "    ready: {http: «127.0.0.1:80»}\n", "it is not http"),
    Case("E039", PROGRAM + "    ready: {http: «'http://example.org/'»}\n", "looks no name up"),
    Case("E039", PROGRAM + "    ready: {http: «'http://0.0.0.0:80/'»}\n", "neither an IP address"),
    Case("E039", PROGRAM + "    ready: {http: «'http://u:p@127.0.0.1/'»}\n", "Authorization"),
    Case("E039", PROGRAM + "    ready: {http: «'http://127.0.0.1/#x'»}\n", "a fragment"),
    Case("E039", PROGRAM + "    ready: {http: «'http://127.0.0.1:0/'»}\n", "1 to 65535"),
    Case("E039", PROGRAM + "    ready: {http: «'http://127.0.0.1:99999/'»}\n", "ort out of range"),
    Case("E039", PROGRAM + "    ready: {http: «'http://127.0.0.1/a b'»}\n", "without spaces"),
    Case("E039", PROGRAM + "    ready: {http: {url: «'http://127.0.0.1/${run}'»}}\n", "an expression"),
    Case("E041", PROGRAM + '    ready: {unix: «"${writable:/x}/s"»}\n', "name one in boot.writable"),
    Case("E043", PROGRAM + "    ready: {exec: [a, «/srv/x»]}\nboot: {writable: [/srv]}\n", "${writable:/srv}", relocated=True),
    Case("E043", PROGRAM + "    ready: {unix: «/srv/x»}\nboot: {writable: [/srv]}\n", "${writable:/srv}", relocated=True),
    Case("E043", PROGRAM + "    ready: {file: «/srv/x»}\nboot: {writable: [/srv]}\n", "${writable:/srv}", relocated=True),
    Case("E044", PROGRAM + "    ready: {http: {url: 'http://127.0.0.1/', status: «600»}}\n", "write 204, or 200-399"),
    Case("E044", PROGRAM + "    ready: {http: {url: 'http://127.0.0.1/', status: «399-200»}}\n", "from the lower"),
    Case("E045", PROGRAM + "    ready: {http: {url: 'http://127.0.0.1/', headers: {«a b»: x}}}\n", "name of a header"),
    Case("E045", PROGRAM + '    ready: {http: {url: "http://127.0.0.1/", headers: {A: «"x\\r\\ny"»}}}\n', "value of a header"),
    Case("E046", PROGRAM + "    ready: {tcp: «db:5432»}\n", "a check looks no name up"),
    Case("E046", PROGRAM + "    ready: {tcp: «70000»}\n", "1 to 65535"),
    Case("E046", PROGRAM + "    ready: {tcp: {address: «'0.0.0.0:5432'»}}\n", "write 127.0.0.1:5432"),
    Case("E046", PROGRAM + "    ready: {tcp: «'::1:80'»}\n", "in brackets"),
    Case("E047", PROGRAM + "    ready: {log: «'(a'»}\n", "unterminated"),
    Case("E047", PROGRAM + "    ready: {log: «''»}\n", "it is empty"),
    Case("E047", PROGRAM + "    ready: {log: «" + "a" * 513 + "»}\n", "longer than 512"),
    Case("E048", PROGRAM + "    ready: {log: «'(a+)+b'»}\n", "around another repeat"),
    Case("E048", PROGRAM + "    ready: {http: {url: 'http://127.0.0.1/', body: «'(a|bc)*d'»}}\n", "or a choice"),
    Case("E048", PROGRAM + "    ready: {log: «'(a)\\1'»}\n", "refers back"),
    Case("E048", PROGRAM + "    ready: {log: «'a(?=b)'»}\n", "looks around"),
    Case("E048", PROGRAM + "    ready: {log: «'(a?){200}'»}\n", "too many ways"),
    Case("E048", PROGRAM + "    ready: {log: «'.*a.*b.*c.*d.*'»}\n", "at most 2"),
    Case("E049", ONE + "signals: {HUP: «[]}\n", "nobody"),
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
    Case("E052", ONE + "  b: {command: [b], after: {«aa»: started}}\n", "write `a`"),
    Case("E052", ONE + "  b: {command: [b], after: [{«aa»: started}]}\n", "write `a`"),
    Case("E052", ONE + "signals: {HUP: [«aa»]}\n", "write `a`"),
    Case("E052", ONE + "signals: {HUP: [«probes»]}\n", "it gets no signals"),
    Case("E053", HEAD + "programs:\n  a: {command: [a], after: {«a»: started}}\n", "remove it"),
    Case("E054", ONE + "  b: {command: [b], after: [a, {«a»: started}]}\n", "keep one of them"),
    Case("E054", ONE + "signals: {HUP: [a, «a»]}\n", "keep one of them"),
    Case(
        "E055",
        HEAD + "programs:\n  a: {command: [a], after: {«b»: started}}\n  b: {command: [b], after: [{a: {bind: true}}]}\n",
        "a -> b -> a",
    ),
    Case("E053", HEAD + "programs:\n  a: {command: [a], after: [«a»]}\n", "remove it"),
    Case("E054", ONE + "  b: {command: [b], after: [a, «a»]}\n", "keep one of them"),
    Case("E054", ONE + "boot: {environment: [A, «A»]}\n", "keep one of them"),
    Case("E054", ONE + "identity: {keys: «[nostr, nostr]}\n", "`nostr` stands twice"),
    Case("E022", ONE + "runtimes: «every»\n", "write `all`, or a list like [python, node]"),
    Case(
        "E024",
        ONE + "secrets: {s: {generate: «8», programs: [a]}}\n",
        "8 is out of range: the number of random bytes is 16 to 1024",
    ),
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
    Case("E065", PROGRAM + "    ready: {tcp: 1, «http»: 'http://127.0.0.1/'}\n", "`tcp` and `http`"),
    Case("E065", PROGRAM + "    ready: {notify: true, «fd»: 3}\n", "`notify` and `fd`"),
    Case("E065", PROGRAM + "    live: {tcp: 1, «exec»: [a]}\n", "`tcp` and `exec` in one `live`"),
    Case("E066", PROGRAM + "    ready: {tcp: 1, «for»: 1s}\n", "remove `for`"),
    Case("E066", PROGRAM + "    ready: {log: x, «watchdog»: 1s}\n", "remove `watchdog`"),
    Case("E066", PROGRAM + "    ready: {«watchdog»: 1s}\n", "add `notify: true`"),
    Case("E067", PROGRAM + "    «live»: {period: 2s}\n", "add one of http, tcp"),
    Case("E067", PROGRAM + "    ready: {log: x}\n    «live»: {}\n", "has a check from outside"),
    Case("E068", PROGRAM + "    oneshot: true\n    on_exit: «restart»\n", "degrade or exit"),
    Case("E068", PROGRAM + "    oneshot: true\n    on_fatal: «restart»\n", "degrade or exit"),
    Case("E069", HEAD + "programs:\n  a: {command: [a], oneshot: true}\n  b: {command: [b], after: {«a»: {bind: true}}}\n", "ends by design"),
    Case("E069", ONE + "  b: {command: [b], oneshot: true, after: [{«a»: {bind: true}}]}\n", "would run again"),
    Case("E070", PROGRAM + "    ready: {file: «/opt/x»}\n", "write ${run}/NAME"),
    Case("E070", PROGRAM + "    ready: {file: «/srv»}\nboot: {writable: [/srv]}\n", "beneath no path"),
    Case("E070", PROGRAM + '    ready: {file: «"${run}/bootstrap.done"»}\n', "bootseal's own"),
    Case("E070", PROGRAM + '    ready: {file: «"${run}/keys/x"»}\n', "bootseal's own"),
    Case(
        "E071",
        PROGRAM + '    ready: {file: "${run}/x"}\n  b: {command: [b], ready: {file: «"/run/bootseal/x"»}}\n',
        "`a` has it already",
    ),
    Case("E072", PROGRAM + "    restart: {backoff: 2s, cap: «1s»}\n", "at least 2s"),
    Case("E072", PROGRAM + "    restart: {backoff: «1m»}\n", "at least 60s"),
    Case("E073", ONE + "stop: {drain: 5s, grace: «20s»}\n", "drain 5s, rank 0 11s (a), probes 6s"),
    Case("E073", PROGRAM + "    stop: {timeout: 1m}\nstop: {grace: «1m»}\n", "allow 67s, or lower stop.timeout of a"),
    Case("E074", PROGRAM + "    oneshot: true\n    «live»: {tcp: 1}\n", "it has ended"),
    Case("E075", PROGRAM + "    oneshot: true\nsignals: {HUP: [«a»]}\n", "runs on"),
    Case("E076", PROGRAM + "    ready: {unix: «/" + "a" * 107 + "»}\n", "107 bytes"),
    Case("E076", PROGRAM + "    ready: {http: {url: 'http://127.0.0.1/', socket: «/" + "a" * 107 + "»}}\n", "107 bytes"),
    Case("E077", ONE + "secrets: {«s»: {programs: [a]}}\n", "add one of generate, file, mounted, variable"),
    Case("E077", ONE + "secrets: {«s»: {file: /s, generate: 16, programs: [a]}}\n", "keep one of them"),
    Case("E077", ONE + "secrets: {«s»: {variable: S, mounted: /s, programs: [a]}}\n", "keep one of them"),
    Case("E078", ONE + "identity: {keys: {ed25519: {secret: «s»}}}\n", "define it under `secrets`"),
    Case("E078", HEAD + 'programs: {a: {command: [a, «"${secret:s}"»]}}\n', "define it under `secrets`"),
    Case("E078", HEAD + 'programs: {a: {command: [a, «"${secret:s1}"»]}}\nsecrets: {s: {generate: 16, programs: [a]}}\n', "write ${secret:s}"),
    Case("E079", ONE + '  b: {command: [b, «"${secret:s}"»]}\nsecrets: {s: {generate: 16, programs: [a]}}\n', "secrets.s.programs"),
    Case("E079", ONE + 'secrets: {s: {generate: 16, programs: [a]}, t: {file: «"${secret:s}"», programs: [a]}}\n', "a program's own keys"),
    Case("E080", PROGRAM + "    environment: {S: x}\nsecrets: {s: {generate: 16, env: «S», programs: [a]}}\n", "its `environment`"),
    Case("E080", ONE + "secrets: {s: {generate: 16, env: S, programs: [a]}, t: {generate: 16, env: «S», programs: [a]}}\n", "the secret `s`"),
    Case("E081", ONE + "boot: {environment: [«S»]}\nsecrets: {s: {variable: S, programs: [a]}}\n", "secrets.s.programs"),
    Case("E081", ONE + "secrets: {s: {variable: «LC_TOKEN», programs: [a]}}\n", "choose another name"),
    Case("E081", ONE + "secrets: {s: {variable: «HOME», programs: [a]}}\n", "choose another name"),
    Case("E080", ONE + "secrets: {s: {generate: 16, env: «PATH», programs: [a]}}\n", "bootseal gives it"),
    Case("E080", ONE + "secrets: {s: {generate: 16, env: «NOTIFY_SOCKET», programs: [a]}}\n", "bootseal gives it"),
    Case("E080", PROGRAM + "    environment: {«CREDENTIALS_DIRECTORY»: /x}\nsecrets: {s: {generate: 16, programs: [a]}}\n", "remove it"),
    Case("E081", ONE + "identity: {id: {env: «S»}}\nsecrets: {s: {variable: S, programs: [a]}}\n", "choose another name"),
    Case("E083", PROGRAM + "    user: «65534»\n", "choose another number"),
    Case("E087", ONE + "identity: {keys: {nostr: {secret: «s»}}}\nsecrets: {s: {generate: 32, variable: S}}\n", "made anew at each boot"),
    Case("E082", ONE + "identity: {keys: {ed25519: {file: /k, «secret»: s}}}\nsecrets: {s: {file: /s}}\n", "keep one of them"),
    Case("E083", PROGRAM + '    «user»: "7"\n', "add the exception"),
    Case("E083", PROGRAM + "    user: «0»\n", "PID 1 alone is"),
    Case("E083", PROGRAM + '    user: «"1:0"»\n', "PID 1 alone is"),
    Case("E083", PROGRAM + "    user: «nobody»\n", "boot looks no name up"),
    Case("E083", PROGRAM + "    user: «4294967295»\n", "is not a user"),
    Case("E083", ONE + "boot: {writable: [{path: /w, «owner»: 7}]}\n", "add the exception"),
    Case("E083", HEAD + f"programs: {{«a»: {{command: [a]}}}}\n{USERS}", "it would be root"),
    Case("E070", PROGRAM + f'    user: 7\n    ready: {{file: «"${{run}}/a"»}}\n{USERS}', "belongs to that user"),
    Case("E070", PROGRAM + f"    user: 7\n    ready: {{file: «/w/a»}}\nboot: {{writable: [/w]}}\n{USERS}", 'add owner: "7:7"'),
    Case(
        "E070",
        PROGRAM + f'    user: 7\n    ready: {{file: «"${{writable:/w/x}}/a"»}}\n'
        f"boot: {{writable: [{{path: /w, owner: 7}}, {{path: /w/x, owner: 8}}]}}\n{USERS}",
        "/w/x is 8's",
    ),
    Case("E084", PROGRAM + "    artifacts: [t]\nartifacts: {t: {path: /t, verify: «digest»}}\n", "run `bootseal lock`"),
    Case("E084", PROGRAM + "    artifacts: [t]\nartifacts: {t: {path: /t, verify: «metadata»}}\n", "run `bootseal lock`"),
    Case("E085", PROGRAM + "    artifacts: [t]\n«artifacts»: {t: /t}\n", "it is empty", lock=locked.Unusable("it is empty")),
    Case("E085", PROGRAM + "    artifacts: [t]\nartifacts: {«t»: /t}\n", "not in it", lock=locked.Locked("", {})),
    Case("E085", PROGRAM + "    artifacts: [t]\nartifacts: {«t»: /t}\n", "/u there", lock=locked.Locked("", {"t": locked.Artifact("/u", "tree")})),
    Case("E085", PROGRAM + "    artifacts: [t]\nartifacts: {«t»: {path: /t, kind: elf}}\n", "the kind tree", lock=locked.Locked("", {"t": locked.Artifact("/t", "tree")})),
    Case("E086", PROGRAM + '    user: 7\nsecurity: {exceptions: {program-users: {reason: « "»}}}\n'.replace('« "»', "«' '»"), "say why"),
    Case("W001", HEAD + "programs:\n  a: {command: [a], required: false}\n  b: {command: [b], after: {«a»: {is: started, bind: true}}}\n", "make a required"),
    Case("W001", HEAD + "programs:\n  a: {command: [a], required: false}\n  b: {command: [b], after: [«a»]}\n", "make a required"),
    Case("W002", ONE + "artifacts: {«t»: /t}\n", "used by no program"),
    Case("W003", PROGRAM + "    ready: {tcp: 1}\n    live: {restart: «true»}\n    on_exit: degrade\n", "not started again"),
    Case("W003", PROGRAM + "    ready: {tcp: 1}\n    live: {restart: «true»}\n    on_exit: exit\n", "the container ends"),
    Case("W004", PROGRAM + "    ready: {timeout: «3m»}\n", "boot.seal_timeout, 120s"),
    Case("W004", PROGRAM + "    ready: {for: «11s»}\nboot: {seal_timeout: 10s}\n", "boot.seal_timeout, 10s"),
    Case("W005", ONE + "secrets: {«s»: {file: /s}}\n", "nobody gets"),
    Case("W005", ONE + "secrets: {«s»: {file: /s, env: S}}\nidentity: {keys: {ed25519: {secret: s}}}\n", "as S"),
    Case("W006", PROGRAM + f"    user: 7\n  b: {{command: [b], user: «7»}}\n{USERS}", "have one user"),
    Case("W007", PROGRAM + "    artifacts: [«t»]\nartifacts: {t: {path: /t, required: false}}\n", "make the artifact required"),
    Case("W008", PROGRAM + "    user: 7\n" + USERS.replace("program-users", "«program-users»"), "as whoever calls it", relocated=True),
    Case("E036", ONE + "probes: {detail: «8081»}\n", "127.0.0.1:8081, or none"),
    Case("E036", ONE + "probes: {detail: {listen: «nowhere:8081»}}\n", "looks no name up"),
    Case("E063", ONE + 'probes: {metrics: "127.0.0.1:9091", detail: «"127.0.0.1:9091"»}\n', "metrics and detail"),
    Case("E063", ONE + 'probes: {listen: "0.0.0.0:80", detail: {listen: «"127.0.0.1:80"»}}\n', "write 0.0.0.0:80 to let all"),
    Case("E063", ONE + 'probes: {metrics: "[::]:9091", detail: «"[::1]:9091"»}\n', "port 9091"),
    Case("E063", ONE + 'probes: {listen: "0.0.0.0:80", metrics: «"[::ffff:127.0.0.1]:80"»}\n', "port 80"),
    Case("E063", ONE + 'probes: {listen: "[::ffff:0.0.0.0]:80", detail: «"127.0.0.1:80"»}\n', "port 80"),
    Case("E063", ONE + 'probes: {metrics: "127.0.0.1:9091", detail: «"[::ffff:127.0.0.1]:9091"»}\n', "port 9091"),
    Case("E027", ONE + "probes: {liveness_deadline: «4s»}\n", "5s to 1h"),
    Case("E027", ONE + "probes: {liveness_deadline: «61m»}\n", "5s to 1h"),
    Case("E027", ONE + "ready: {settle: «11m»}\n", "0s to 10m"),
    Case("E027", ONE + "ready: {settle: «5»}\n", "write 5s for seconds"),
    Case("E026", ONE + "observability: {log_level: «warn»}\n", "write warning"),
    Case("E026", ONE + "logs: «text»\n", "plain, prefixed or json"),
    Case("E025", ONE + "probes: {«detail»: }\n", "has no value"),
    Case("E022", ONE + "ready: {checks: {relay: «7777»}}\n", "write for example {tcp: 5432}"),
    Case("E022", ONE + "ready: {mounts: «/x»}\n", "not a list"),
    Case("E020", ONE + "ready: {checks: {relay: {«zzzz»: x, tcp: 1}}}\n", "the keys here are http, tcp, unix, period"),
    Case("E020", ONE + "ready: {checks: {relay: {«htp»: 'http://127.0.0.1/'}}}\n", "write `http`"),
    Case("E028", ONE + "ready: {checks: {«The_Relay»: {tcp: 1}}}\n", "write `the-relay`"),
    Case("E042", ONE + 'boot: {writable: [/w]}\nready: {mounts: [«"${writable:/w}"»]}\n', "write the path"),
    Case("E059", ONE + "boot: {immutable: [/opt]}\nready: {mounts: [{path: «/opt/x»}]}\n", "write `writable: false`"),
    Case("E065", ONE + "ready: {checks: {relay: {tcp: 1, «unix»: /u}}}\n", "`tcp` and `unix`"),
    Case("E078", ONE + "probes: {detail: {token: {secret: «s»}}}\n", "define it under `secrets`"),
    Case("E078", ONE + "probes: {detail: {token: {secret: «tokn»}}}\nsecrets: {token: {generate: 32, programs: [a]}}\n", "write `token`"),
    Case("E088", ONE + "probes: {detail: {«token»: {}}}\n", "add one of file, secret"),
    Case("E088", ONE + "probes: {detail: {token: {file: /t, «secret»: s}}}\nsecrets: {s: {generate: 32}}\n", "keep one of them"),
    Case("E088", ONE + 'probes: {detail: {token: {file: «"${run}/secrets/probes/s"»}}}\n', "write `secret: NAME`"),
    Case("E089", ONE + "probes: {detail: {listen: none, «token»: {file: /t}}}\n", "remove the token"),
    Case("E090", ONE + "ready: {mounts: [/x, «/x»]}\n", "keep one of them"),
    Case("E090", ONE + "ready: {mounts: [{path: /x, free: 1GiB}, {path: «/x», free: 2GiB}]}\n", "stands twice"),
    Case("E091", ONE + "ready: {mounts: [{path: /x, free: «100»}]}\n", "write 100B, KiB, MiB or GiB"),
    Case("E091", ONE + "ready: {mounts: [{path: /x, free: «100M»}]}\n", "write 100MiB"),
    Case("E091", ONE + "ready: {mounts: [{path: /x, free: «1.5GiB»}]}\n", "whole number"),
    Case("E091", ONE + "ready: {mounts: [{path: /x, free: «-1B»}]}\n", "whole number"),
    Case("E091", ONE + "ready: {mounts: [{path: /x, free: «1025TiB»}]}\n", "at most 1024TiB"),
    Case("E092", ONE + "observability: {otlp_endpoint: «collector:4318»}\n", "write for example http://collector:4318"),
    Case("E092", ONE + "observability: {otlp_endpoint: «grpc://collector:4317»}\n", "over http or https"),
    Case("E092", ONE + "observability: {otlp_endpoint: «http://me:pw@collector:4318»}\n", "the plan holds no secret"),
    Case("E092", ONE + "observability: {otlp_endpoint: «http://collector:4318/#x»}\n", "neither a query nor a fragment"),
    Case("E092", ONE + "observability: {otlp_endpoint: «http://collector:4318?x»}\n", "neither a query nor a fragment"),
    Case("E092", ONE + "observability: {otlp_endpoint: «http://collector:0»}\n", "1 to 65535"),
    Case("E092", ONE + "observability: {otlp_endpoint: «http://»}\n", "over http or https"),
    Case("E092", ONE + "observability: {otlp_endpoint: «http://-x»}\n", "neither a name nor an IP address"),
    Case("E092", ONE + 'observability: {otlp_endpoint: «"http://a b"»}\n', "without spaces"),
    Case("E093", ONE + "ready: {checks: {relay: {exec: «[true]}}}\n", "let a program of its own say it"),
    Case("E093", ONE + "ready: {checks: {relay: {exec: «true»}}}\n", "nobody's"),
    Case("E094", ONE + "ready: {checks: {«relay»: {period: 1s}}}\n", "add one of http, tcp, unix"),
    Case("E095", ONE + "ready: {«mounts»: [" + ", ".join(f"/m{number}" for number in range(101)) + "]}\n", "at most 100"),
    Case("E095", ONE + "ready: {«checks»: {" + ", ".join(f"c{number}: {{tcp: 1}}" for number in range(101)) + "}}\n", "at most 100"),
    Case("W005", ONE + "secrets: {«s»: {generate: 32, env: S}}\nprobes: {detail: {token: {secret: s}}}\n", "as S"),
    Case("W009", ONE + 'probes: {listen: "0.0.0.0:80", detail: «"0.0.0.0:80"»}\n', "add a `token`"),
    Case("W009", ONE + 'probes: {detail: {listen: «"[::]:81"»}}\n', "[::]:81 reads /health"),
    Case("W009", ONE + 'probes: {detail: {listen: «"[::ffff:0.0.0.0]:81"»}}\n', "[::ffff:0.0.0.0]:81 reads /health"),
]  # fmt: skip

WITHOUT_A_PLACE = {"E001", "E002"}
"""Rules about the file itself; see test_source."""


def name_of(case: Case) -> str:
    return f"{case.code}-{re.sub(r'[^a-zA-Z0-9]+', '-', case.says)[:40]}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_broken_rule_is_reported_alone_at_its_place_with_a_remedy(case: Case, tmp_path: pathlib.Path) -> None:
    relocation = compiling.Relocation("/tmp/up/root", loopback_only=True, strict=False, listen=None)
    options = compiling.BuildOptions(
        run_directory=rundir.DEFAULT, relocation=relocation if case.relocated else None, lock=case.lock
    )
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


@pytest.mark.parametrize(("owner", "codes"), [("7", {"W008"}), ("8", {"W008", "E070"})])
def test_a_proof_is_judged_by_the_root_that_is_written_also_where_it_is_moved(owner, codes, tmp_path) -> None:
    text = PROGRAM + '    user: 7\n    ready: {file: "${writable:/w}/a"}\n' + USERS
    moved = compiling.Relocation("/tmp/up/root", loopback_only=True, strict=False, listen=None)
    text += f"boot: {{writable: [{{path: /w, owner: {owner}}}]}}\n"
    result = manifests.load(tmp_path, text, compiling.BuildOptions(relocation=moved))
    assert set(manifests.codes(result)) == codes


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
        "E091": "not a size",
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
