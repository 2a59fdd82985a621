"""The diagnostics of what several values say together: programs, directories, secrets, what is served: see ``manifest.rules``."""

from manifest.rule import Rule

TABLE = (
    Rule(
        "E050",
        "a reserved program name",
        "`probes`, `bootstrap` and `bootstrap-seal` are bootseal's own programs.",
    ),
    Rule("E051", "too many programs", "At most 1000 programs."),
    Rule(
        "E052",
        "unknown program",
        "`after`, `signals` and `secrets.*.programs` name programs of this manifest. bootseal's own cannot be waited for: they "
        "start first, and the seal last. Neither do they get signals or secrets.",
    ),
    Rule("E053", "a program after itself", "It would wait for itself for ever."),
    Rule("E054", "the same twice in a list", "The second adds nothing, and is more often a slip for another name."),
    Rule("E055", "programs wait for each other", "None of the circle could ever start."),
    Rule(
        "E056",
        "`ready` in a one-shot",
        "A one-shot is ready when it has exited 0, and there is nothing else to say about it.",
    ),
    Rule("E057", "unknown artifact", "A program's `artifacts` are names under the manifest's `artifacts`."),
    Rule("E058", "a writable root twice", "Two entries for one path could differ in mode and content."),
    Rule(
        "E059",
        "writable and immutable overlap",
        "Nothing is both, neither a path of `boot.writable` nor one of `ready.mounts` that must be writable. The run directory is "
        "written by bootseal itself and can be neither.",
    ),
    Rule(
        "E060",
        "the identity store is not writable",
        "Keys are written there at the first boot, so it lies under a path of `boot.writable`.",
    ),
    Rule(
        "E061",
        "no program is required",
        "A container that requires nothing is ready when nothing runs. If that is meant, `required: []` says so.",
    ),
    Rule(
        "E062",
        "`required: []` and a required program",
        "The one says that no program is required, the other that one is.",
    ),
    Rule(
        "E063",
        "two listeners on one port",
        "The probes, the metrics and detail need a port each, where metrics and detail have an address of their own. Detail on "
        "exactly the probes' address is served there, to all their clients.",
    ),
    Rule(
        "E064",
        "supervisord cannot carry it",
        "supervisord looks the program up, and enters its directory, by what its configuration says: "
        "printable ASCII on one line. Arguments and the environment are free of this: they do not go through "
        "the configuration.",
    ),
    Rule(
        "E065",
        "two kinds of proof",
        "A program is proven ready in one way, and checked in one way afterwards; so is each of `ready.checks`. Two would leave "
        "open whether one or both must hold; a command (`exec`) of a program can ask for both.",
    ),
    Rule(
        "E066",
        "a key of another kind of proof",
        "`for` says how long a program has to run, so it belongs to `running`; `watchdog` is a part of `notify`. Beside "
        "another kind it would do nothing.",
    ),
    Rule(
        "E067",
        "`live` without a check",
        "What goes on being checked is a check from outside: `http`, `tcp`, `unix` or `exec`, in `live` or in `ready`.",
    ),
    Rule(
        "E068",
        "a one-shot that is to be restarted",
        "A one-shot runs once, and how it ended stands: the container ends, or goes on without it. `start_retries` tries again "
        "only what could not be executed at all.",
    ),
    Rule(
        "E069",
        "`bind` and a one-shot",
        "What is bound stops and starts with what it comes after. A one-shot ends by design, and must not run again.",
    ),
    Rule(
        "E070",
        "a file that cannot prove readiness",
        "PID 1 removes the file before each start: one that is left from an earlier run proves nothing. So it lies where "
        "programs may write, beneath a path of `boot.writable` or in the run directory, and is none of bootseal's own. Where "
        "programs have users, the path of `boot.writable` belongs to the program's.",
    ),
    Rule(
        "E071",
        "one file for two programs",
        "Each would remove the other's proof, and either could make both ready.",
    ),
    Rule("E072", "pauses that shrink", "`cap` is the longest pause between restarts and `backoff` the first."),
    Rule(
        "E073",
        "a stop that takes longer than is allowed",
        "`stop.grace` is what whoever runs the container waits before it kills it (terminationGracePeriodSeconds, "
        "`docker stop -t`). A stop is the drain, then rank after rank the longest timeout and a second to die, then the "
        "probe server; what does not fit would be killed in the middle.",
    ),
    Rule("E074", "`live` in a one-shot", "A one-shot that is ready has ended, and nothing is left to check."),
    Rule("E075", "a signal for a one-shot", "It has ended when the signal comes."),
    Rule(
        "E076",
        "a socket's path that is too long",
        "An AF_UNIX address holds 107 bytes (unix(7)). `bootseal up` makes paths longer.",
    ),
    Rule(
        "E077",
        "a secret's source",
        "A secret comes from one place: `generate`, `file`, `mounted` or `variable`. Only `variable` and `generate` go together: "
        "what the variable does not say is generated. A second source would hide that the first is gone.",
    ),
    Rule("E078", "unknown secret", "Names refer to what is under `secrets`."),
    Rule(
        "E079",
        "a secret that the program does not get",
        "`${secret:NAME}` is the path of a file in the program's own directory of secrets. It is there for the programs that "
        "the secret names, and for no other.",
    ),
    Rule("E080", "one variable, two values", "A program would get one of them, and nobody could say which."),
    Rule(
        "E081",
        "a secret that every program would inherit",
        "`boot.environment` hands a variable of the container to all programs, as HOME, TZ, LC_* and a few more are in any case. "
        "One that holds a secret is for those alone that the secret names.",
    ),
    Rule("E082", "a key from two places", "A key that is in neither must be an error, so there can be only one."),
    Rule(
        "E083",
        "users without their exception",
        "PID 1 gives programs and directories to other users exactly under `security.exceptions.program-users`, where it is "
        "root. There every program has a user, and none is root.",
    ),
    Rule(
        "E084",
        "a verification without a lock",
        "`digest` and `metadata` compare what is there at boot with `closures.lock`, which `bootseal lock` writes beside the "
        "manifest.",
    ),
    Rule(
        "E085",
        "a lock that does not fit",
        "`closures.lock` is damaged, or was written for other artifacts than the manifest now has. What is not locked cannot be "
        "verified.",
    ),
    Rule(
        "E086",
        "an exception without a reason",
        "An exception weakens the container; whoever reviews it must see what for.",
    ),
    Rule(
        "E087",
        "a key from a generated secret",
        "It would be another key at each boot, without a word: another identity. Without `file` and `secret` a key is kept in "
        "`identity.store`.",
    ),
    Rule(
        "E088",
        "a token's source",
        "The token that guards detail comes from one place, `file` or `secret`. From none, nobody could ever show it.",
    ),
    Rule(
        "E089",
        "a token that guards nothing",
        "`detail: none` is served on the unix socket in the run directory alone, which answers processes of our user and root's "
        "and asks for no token.",
    ),
    Rule("E090", "a mount twice", "Two entries for one path could differ in what they need."),
    Rule(
        "E091",
        "not a size",
        "A size is a whole number with one of the units B, KiB, MiB, GiB and TiB (powers of 1024), or 0; at most 1024TiB. `100M` is "
        "100 000 000 bytes to some and 104 857 600 to others, and so it is neither here.",
    ),
    Rule(
        "E092",
        "not an endpoint",
        "The boot's trace is sent to `http://HOST:PORT` or `https://HOST:PORT`, behind which a path may stand. This is the one place "
        "where a host may be a name: nothing waits for the answer. It holds no user, no query and no fragment.",
    ),
    Rule(
        "E093",
        "a command as the container's check",
        "A command runs as somebody, with an environment and a directory; a program has those, the container has not. A program "
        "of its own can run it and be ready when it passed.",
    ),
    Rule("E094", "a check that checks nothing", "Each of `ready.checks` is one of `http`, `tcp` and `unix`."),
    Rule(
        "E095",
        "too many requirements",
        "At most 100 of `ready.mounts` and 100 of `ready.checks`: each is looked at again and again, and /ready names all that are missing.",
    ),
    Rule(
        "W001",
        "a required program after an optional one",
        "The required one starts only when the optional one is ready, or is stopped with it. So the container is not ready without "
        "it, whatever the manifest says.",
    ),
    Rule("W002", "an artifact that no program uses", "It is verified at boot, and nothing says what for."),
    Rule(
        "W003",
        "`live` restarts what is not started again",
        "`live.restart` kills the program; what follows an end is decided by `on_exit`, and here that is not a restart.",
    ),
    Rule(
        "W004",
        "a start that may outlast the boot",
        "The boot fails when a required program is not ready within boot.seal_timeout, however long it was given.",
    ),
    Rule("W005", "a secret that nobody gets", "It is read or made at each boot, and nothing says what for."),
    Rule(
        "W006",
        "two programs of one user",
        "The kernel keeps users apart, not programs: two of one user can read, change and stop each other.",
    ),
    Rule(
        "W007",
        "a required program that needs an optional artifact",
        "When the artifact cannot be used the program is held back, and the boot fails: the artifact is not optional.",
    ),
    Rule(
        "W008",
        "users that `bootseal up` does not apply",
        "`up` needs no root, so all programs run as whoever calls it. In the container they are apart.",
    ),
    Rule(
        "W009",
        "detail that anybody may read",
        "Detail shows how the container is built, what fails in it, and the last lines of programs that did. Beyond loopback a token says "
        "who may read it; where it is absent, only the network does.",
    ),
)
