"""The diagnostics of the file, its YAML, single keys and values, and expressions: see ``manifest.rules``."""

from manifest.rule import Rule

TABLE = (
    Rule(
        "E001",
        "the manifest cannot be read",
        "A manifest is a regular file, or a link to one. A FIFO, a device or a directory is refused at once, "
        "so that a build never hangs.",
    ),
    Rule("E002", "the manifest is too large", "A manifest has at most 1 MiB. More is almost always the wrong file."),
    Rule(
        "E003",
        "the manifest is not text",
        "A manifest is UTF-8, with or without a byte-order mark, and holds no control characters but tab and "
        'line breaks. Write others escaped in double quotes: `"\\x1b"`.',
    ),
    Rule(
        "E004",
        "the manifest is empty",
        "An empty file never stands for an empty manifest: it is more often a failed copy.",
    ),
    Rule(
        "E005",
        "not YAML",
        "The usual causes: a tab in the indentation, text that holds `: ` or begins with one of ``@`%&*!|>`` "
        "and is not quoted, a backslash in double quotes (write a regular expression in single ones), a bracket or quote that is "
        "never closed.",
    ),
    Rule(
        "E006",
        "a second document",
        "A manifest is one YAML document. What follows `---` or `...` would be ignored silently.",
    ),
    Rule(
        "E007",
        "the manifest is not a mapping",
        "At the top a manifest has keys: `version`, `name`, `programs` and so on.",
    ),
    Rule("E008", "nested too deeply", "At most 50 collections are nested within each other, aliases expanded."),
    Rule(
        "E009",
        "too many values",
        "At most 100 000 values, aliases expanded: a few lines of aliases of aliases can stand for billions.",
    ),
    Rule("E010", "duplicate key", "YAML readers keep the last of two equal keys and drop the other without a word."),
    Rule("E011", "a key is not text", "A key is a name. A list, a mapping or nothing at all cannot be one."),
    Rule(
        "E012",
        "a tag",
        "Tags (`!!str`, `!!python/object`) tell a YAML reader to build something else. A manifest is plain "
        "data; quotes make text.",
    ),
    Rule(
        "E013",
        "a merge key",
        "`<<` is not part of YAML 1.2, and what overrides what is easily misread. An anchor and an alias for "
        "a whole value are allowed.",
    ),
    Rule(
        "E014",
        "unknown or circular alias",
        "An alias `*name` stands after the value with the anchor `&name`, and outside it.",
    ),
    Rule(
        "E020",
        "unknown key",
        "A key that nothing reads is a misspelling or belongs to another version. It is never ignored.",
    ),
    Rule("E021", "missing key", "The key is required and has no default."),
    Rule(
        "E022",
        "the wrong kind of value",
        "A list stands where a mapping belongs, or text where a list belongs, and so on.",
    ),
    Rule(
        "E023",
        "neither true nor false",
        "Only `true` and `false`, unquoted, are booleans. YAML 1.1 also takes `yes`, `no`, `on` and `off` for "
        "booleans, and YAML 1.2 takes them for text; so they are neither here.",
    ),
    Rule(
        "E024",
        "not a whole number in the range",
        "Digits without a leading zero, unquoted, within the range that is named.",
    ),
    Rule(
        "E025",
        "no value",
        'Nothing, `~` and `null` are no value. Leave the key out to have its default; write `""` for empty text.',
    ),
    Rule("E026", "not one of the choices", "The value is one of a few words, which the message names."),
    Rule(
        "E027",
        "not a duration in the range",
        "A duration has a unit: `250ms`, `10s`, `2m`, `1h`, `1m30s`. A bare number is refused, because half "
        "of its readers would take it for milliseconds. supervisord waits whole seconds before it kills, so a "
        "stop timeout has no fraction.",
    ),
    Rule(
        "E028",
        "not a name",
        "Names of containers, programs, secrets and artifacts are DNS-1123 labels: at most 63 of a-z, 0-9 and `-`, "
        "neither first nor last a `-`. They are safe in host names, file names, metrics and supervisord's "
        "configuration alike.",
    ),
    Rule(
        "E029",
        "not an absolute normal path",
        "A path begins with `/` and holds no `.`, `..` or `//` and no `/` at its end, so that it can be "
        "compared, and walked without surprise. `${here}/x` is beside the manifest.",
    ),
    Rule(
        "E030",
        "not a mode",
        "Permission bits are three octal digits, with or without a leading 0, or four whose first is 1 to 3. "
        "The owner's bits are 7: a writable root that its owner cannot use is of no use.",
    ),
    Rule(
        "E031",
        "the command is text",
        "A command is a list, one item an argument. No shell splits it; write `[sh, -c, …]` where one is wanted.",
    ),
    Rule("E032", "the command names no program", "A command has at least one item, and the first is not empty."),
    Rule(
        "E033",
        "text that cannot be passed on",
        "No argument, variable or path of Linux holds a NUL byte, and none half of a surrogate pair.",
    ),
    Rule(
        "E034",
        "not the name of an environment variable",
        "A name is made of letters, digits and `_`, and does not begin with a digit.",
    ),
    Rule(
        "E035",
        "a reserved environment variable",
        "Names that begin with `BOOTSEAL_` or `SUPERVISOR_` are set by bootseal and supervisord.",
    ),
    Rule(
        "E036",
        "not an address to listen on",
        "An address is `IP:PORT`, or `[IPv6]:PORT`. A host name would have to be looked up at boot, and boot "
        "looks nothing up.",
    ),
    Rule(
        "E037",
        "unsupported version",
        "This bootseal reads version 1. A manifest of another version may mean something else.",
    ),
    Rule(
        "E038",
        "`required` is not empty",
        "`required: []` says that no program is required. Which are is said in the programs.",
    ),
    Rule(
        "E039",
        "not a URL that can be checked",
        "A check runs inside the container: plain `http`, an IP address or `localhost` (which is 127.0.0.1), a port, a path and "
        "a query. No name is looked up, no expression is replaced, and who is asking is said in `headers`.",
    ),
    Rule(
        "E040",
        "not an expression",
        "There are `${here}`, `${run}`, `${writable:/path}` and, in a program, `${secret:NAME}`. A lone `$` is itself; `$${` is a "
        "literal `${`.",
    ),
    Rule("E041", "not a writable path", "`${writable:/path}` names a path of `boot.writable`, or one beneath it."),
    Rule(
        "E042",
        "an expression where none is allowed",
        "The paths of writable roots and of the identity store are what expressions refer to, so they are written out; so are "
        "those of `ready.mounts`, which move with them.",
    ),
    Rule(
        "E043",
        "a path that is elsewhere",
        "`bootseal up` moves writable roots below a directory of its own. `${writable:/path}` is right there "
        "and in the container.",
    ),
    Rule("E044", "not a status", "A status of HTTP is 100 to 599; a range is two of them, `200-399`."),
    Rule(
        "E045",
        "not a header",
        "The name of a header is letters, digits and a few signs (RFC 9110, 5.6.2); its value is printable ASCII on one line.",
    ),
    Rule(
        "E046",
        "not an address to connect to",
        "An address is `IP:PORT`, `[IPv6]:PORT`, or a port alone, which is one of 127.0.0.1.",
    ),
    Rule(
        "E047",
        "not a regular expression",
        "The syntax is that of Python's `re`, at most 512 characters. `.` `(` `[` `+` and their like stand for "
        "themselves behind a backslash.",
    ),
    Rule(
        "E048",
        "a regular expression that could take without end",
        "PID 1 runs it on whatever the program prints. So it holds no repeat without a bound (`*`, `+`, `{2,}`) around "
        "another repeat or a choice, at most two such repeats for a line of output and one for the body of an answer, few "
        "ways to match what is bounded, no back-reference and no looking around.",
    ),
    Rule("E049", "a signal for nobody", "A signal that is passed on names the programs that get it."),
)
