"""The diagnostics of ``programs.from``, of FastCGI programs and of event listeners: see ``manifest.rules``."""

from manifest.rule import Rule

TABLE = (
    Rule(
        "E110",
        "an imported file that cannot be read",
        "`programs.from` names regular files of at most 1 MiB. A pattern that matches nothing is an error, too: it is more often a "
        "missing file than an empty directory.",
    ),
    Rule(
        "E111",
        "an imported file that is not supervisor's",
        "It is read by supervisor's own parser, and so refused where supervisord would refuse it. It is UTF-8.",
    ),
    Rule(
        "E112",
        "a section that is not imported",
        "Only `program`, `group`, `fcgi-program` and `eventlistener` say what runs. The others configure supervisord itself, whose "
        "configuration is bootseal's: `bootseal adopt` says for each what becomes of it.",
    ),
    Rule(
        "E113",
        "an option that supervisor does not know",
        "supervisor ignores it without a word, and so it never did what its writer meant.",
    ),
    Rule(
        "E114",
        "a value that supervisor refuses",
        "supervisord would not start with it: a number that is none, an unknown signal, a missing command, quotes that do not close.",
    ),
    Rule(
        "E115",
        "an option that is not imported",
        "It means something that a manifest says otherwise or cannot say. Ignoring it would run another program than was written.",
    ),
    Rule(
        "E116",
        "two programs of one name",
        "What is imported has a name of its own, beside the other imports and the programs of the manifest. `my_app` is imported as "
        "`my-app`.",
    ),
    Rule(
        "E117",
        "a key that the imported file decides",
        "A program of the same name in the manifest adds keys to an imported one (`required`, `ready`, `after` …), and changes none.",
    ),
    Rule(
        "E118",
        "`from` names no file",
        "It is a path or a list of paths, relative to the manifest; they may be patterns.",
    ),
    Rule(
        "E119",
        "a FastCGI program or event listener that cannot run",
        "Its socket is made by PID 1, and so lies beneath `boot.writable` or in the run directory, or is an IP address and a port. A "
        "listener is told of states, groups and ticks; what programs print goes to the container's output and to no listener.",
    ),
    Rule(
        "W110",
        "an imported option without effect",
        "What it asks for happens otherwise here, or not at all: programs' output goes to the container's output, and priorities "
        "order nothing, because nothing waits for them.",
    ),
)
