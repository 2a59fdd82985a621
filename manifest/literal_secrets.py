"""The rules of secrets that stand in the manifest itself: in environments and on command lines.

Rules
-----
* A name speaks of a credential when its last word does (DB_PASSWORD, JWT_SECRET, api-key), and what stands before that does not
  turn it into something else (PUBLIC_KEY, CACHE_KEY, PAD_TOKEN). What a name means is judged, never guessed: `…_FILE`, `…_NAME`
  and `…_TTL` end in other words.
* A value is none when it is a number, a switch, a path, an expression of ours, a reference to where the secret is, or a URL
  without a password in it.
* No value is shown: of a placeholder, what everybody knows of it, of a URL, what ``contract.masking`` leaves. The line of source is shown
  with asterisks in its place (``diagnostics``).

Pure functions over a sound manifest; each says which codes of ``manifest.rules`` it gives.
"""

import re
from collections.abc import Iterator

from contract import masking
from manifest import model, readiness, tree
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PASSWORDS = ("PASSWORD", "PASSWD", "PASSPHRASE")
_ENDINGS = (*_PASSWORDS, "SECRET", "TOKEN", "APIKEY", "CREDENTIALS")
"""A word that ends so is one, whatever it is glued to: PGPASSWORD, AUTHTOKEN."""
_WORDS = frozenset({"PASS", "PWD", "PW", "CREDENTIAL", "CRED", "CREDS", "NSEC"})
_QUALIFIERS = frozenset(
    {
        "BASE",
        "VALUE",
        "PLAIN",
        "BASE64",
        "B64",
        "HEX",
        "OLD",
        "NEW",
        "CURRENT",
        "PREVIOUS",
        "DEFAULT",
        "DEV",
        "TEST",
        "PROD",
    }
)
"""What may follow the word that tells: SECRET_KEY_BASE, API_KEY_OLD."""
_SECRET_KEYS = frozenset({
    "ACCESS", "API", "AUTH", "ENCRYPTION", "ENCRYPT", "HMAC", "JWT", "MASTER", "PRIVATE", "SECRET", "SIGNING",
})  # fmt: skip
"""What makes a key one that opens something; a cache has keys as well, and so has a table."""
_PERHAPS_KEYS = frozenset({
    "ACCOUNT", "ADMIN", "APP", "APPLICATION", "COOKIE", "DEPLOY", "LICENSE", "ROOT", "SERVICE", "SESSION", "SHARED",
    "SIGN", "STORAGE", "WEBHOOK",
})  # fmt: skip
"""What has either: the value tells."""
_HARMLESS = {
    "KEY": frozenset({"PUBLIC", "PUB"}),
    "TOKEN": frozenset(
        {"PAD", "EOS", "BOS", "UNK", "SEP", "CLS", "MASK", "STOP", "START", "END", "SPECIAL", "IMAGE", "MAX"}
    ),
    "PASSWORD": frozenset({"HASHED", "ENCRYPTED", "SEALED"}),
    "SECRET": frozenset({"HASHED", "ENCRYPTED", "SEALED"}),
}
_ASKING = frozenset({
    "ALLOW", "ASK", "DISABLE", "ENABLE", "HAS", "IS", "NO", "PROMPT", "REQUIRE", "RESET", "SHOW", "SKIP", "USE",
    "WITHOUT",
})  # fmt: skip
"""What makes of it a question whether there is one."""
_SWITCHES = frozenset({
    "true", "false", "yes", "no", "on", "off", "y", "n", "none", "null", "nil", "auto", "always", "never", "optional",
    "required", "enabled", "disabled", "default", "prompt",
})  # fmt: skip
_NUMBER = re.compile(r"[+-]?[0-9][0-9_.,:]*\s*[a-zA-Z%]{0,3}")
_PATH = re.compile(
    r"(?:~|\.{0,2})/.*|[^\s/]+\.(?:pem|key|crt|cer|p12|pfx|jks|asc|gpg|json|ya?ml|toml|txt|conf|env|sock)", re.DOTALL
)
_REFERENCE = re.compile(r"(?:env|file|vault|op|arn|ssm|sops|secret|awssm|gsm|azurekv|keyring|k8s):.*", re.DOTALL)
_PUBLIC = re.compile(
    r"(?:ssh-[a-z0-9]+|ecdsa-sha2-\S+|sk-\S+@openssh\.com) |-----BEGIN (?:[A-Z ]*PUBLIC KEY|CERTIFICATE)-----"
)
_SHAPES = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
    ("a private key of Nostr", re.compile(r"\bnsec1[02-9ac-hj-np-z]{58}\b")),
    ("a token of GitHub", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})\b")),
    ("a token of GitLab", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("a token of Slack", re.compile(r"\bxox[abeprs]-[A-Za-z0-9-]{10,}")),
    ("a key of Stripe", re.compile(r"\b[rs]k_live_[A-Za-z0-9]{16,}")),
)
"""What is a secret wherever it stands, by the form that its issuer gave it so that it can be found."""
_URL_PASSWORD = re.compile(r"://[^/\s:@]*:(?P<password>[^/\s@]+)@")
_OPTION = re.compile(r"--?(?P<name>[A-Za-z][A-Za-z0-9_.-]*)(?:=(?P<value>.*))?", re.DOTALL)
_KNOWN = (
    "changeme", "changethis", "changeit", "pleasechange", "replaceme", "replacethis", "fixme", "todo", "tbd",
    "placeholder", "example", "sample", "dummy", "redacted", "secret", "mysecret", "supersecret", "topsecret",
    "password", "passwd", "passw0rd", "p@ssw0rd", "p@ssword", "mypassword", "admin", "administrator", "letmein",
    "qwerty", "mytoken", "myapikey", "yourpassword", "yoursecret", "yourtoken", "yourkey", "yourapikey", "123456",
    "12345678", "123456789", "1234567890",
)  # fmt: skip
"""What is written where a secret has yet to come; case and separators do not count."""
_BEGINNINGS = (
    "changeme",
    "changethis",
    "pleasechange",
    "replaceme",
    "replacethis",
    "replacewith",
    "insertyour",
    "enteryour",
    "putyour",
)
_TO_BE_REPLACED = (
    (re.compile(r"<[^<>]*>"), "text in <>"),
    (re.compile(r"\$\$\{[^{}]*\}|\$\([^()]*\)|\$[A-Z_][A-Z0-9_]+"), "a variable that nothing replaces"),
    (re.compile(r"%\([^()]*\)s|%[A-Z_][A-Z0-9_]+%"), "a variable that nothing replaces"),
    (re.compile(r"\{\{.*\}\}|@[A-Z_][A-Z0-9_]*@|__[A-Z][A-Z0-9_]*__"), "a template that nothing filled in"),
    (re.compile(r"[*•.…_-]{3,}|[xX]{3,}|\[(?:redacted|hidden|masked)\]", re.IGNORECASE), "something crossed out"),
)
_SEPARATORS = re.compile(r"[\s_.-]+")


def check(subject: Subject, findings: Findings) -> None:
    """E104, W010: what programs are given holds no secret, and nothing that only stands for one."""
    for name, program in subject.model.programs.items():
        for path, key, value in _texts(name, program):
            _judge(subject, path, key, value, findings)


def _texts(name: str, program: model.Program) -> Iterator[tuple[tree.Path, str, str]]:
    """Yield each text that ``program`` is given: where it stands, what it is called ("" for an argument), and the text."""
    for variable, value in program.environment.items():
        yield ("programs", name, "environment", variable), variable, value
    commands: list[tuple[tree.Path, list[str]]] = [(("programs", name, "command"), program.command)]
    for section, holder in (("ready", program.ready), ("live", program.live)):
        if isinstance(holder, readiness.Ready | readiness.Live) and holder.exec is not None:
            commands.append((("programs", name, section, "exec", "command"), holder.exec.command))
    for path, argv in commands:
        option = ""
        for index, text in enumerate(argv):
            match = _OPTION.fullmatch(text)
            yield (*path, index), "", text
            if match is not None and match["value"] is not None:
                yield (*path, index), match["name"], match["value"]
            elif match is None and option:
                yield (*path, index), option, text
            option = match["name"] if match is not None and match["value"] is None else ""


def _judge(subject: Subject, path: tree.Path, name: str, value: str, findings: Findings) -> None:
    program = str(path[1])
    is_argument = path[2] != "environment"
    where = f"an argument of {quote(program)}" if is_argument else f"{quote(name)} of {quote(program)}"
    if is_argument and name:
        where = f"{quote(name)} on the command line of {quote(program)}"
    url = _URL_PASSWORD.search(value) if not (is_argument and name) else None
    kind, secret = "", value
    if url is not None:
        kind, secret = f"the password in {quote(masking.mask(value), 80)}", url["password"]
    elif name and is_credential(name):
        kind = "the value"
    elif not (is_argument and name):
        kind = next((words for words, shape in _SHAPES if shape.search(value)), "")
    is_replaced = secret.startswith("${") or (is_argument and secret.startswith("$"))  # by us, or by a shell
    if not kind or is_replaced:
        return
    place = tree.place_of(subject.root, tree.written(subject.root, path))
    known = placeholder(secret)
    wanted = re.sub(r"[^A-Z0-9]+", "_", name.upper()) if is_argument else name
    if known is not None:
        message = f"{where} is a placeholder: {kind} is {known}"
        findings.add("E104", place, message, f"take it away, and write {_entry(wanted, program)}")
    elif kind != "the value" or is_secret(name, value):
        message = f"{where} is a secret in the manifest: {kind} would be in the plan and in the image"
        findings.add("W010", place, message, f"write {_entry(wanted, program)}")


def _entry(variable: str, program: str) -> str:
    variable = variable or "SECRET"
    label = re.sub(r"[^a-z0-9]+", "-", variable.lower()).strip("-")
    return f"`secrets: {{{label}: {{mounted: /run/secrets/{label}, env: {variable}, programs: [{program}]}}}}`"


def is_credential(name: str) -> bool:
    """Say whether what is called ``name`` is a password, a token, a key or the like."""
    words = [word.upper() for word in _WORD.findall(name)]
    while len(words) > 1 and (words[-1].isdigit() or words[-1] in _QUALIFIERS):
        words.pop()
    if not words:
        return False
    *before, last = words
    ending = next((ending for ending in _ENDINGS if last.endswith(ending)), last)
    if before and (before[-1] in _ASKING or before[-1] in _HARMLESS.get(ending, ())):
        return False
    if last == "KEY":
        return bool(before) and before[-1] in _SECRET_KEYS | _PERHAPS_KEYS
    return ending in _ENDINGS or (last in _WORDS and (bool(before) or last == "NSEC"))


def placeholder(value: str) -> str | None:
    """Return what is known of ``value`` when it only stands for a secret, or None: a word of ours, never the value itself."""
    bare = value.strip().strip("\"'").strip()
    for pattern, words in _TO_BE_REPLACED:
        if pattern.fullmatch(bare):
            return words
    compact = _SEPARATORS.sub("", bare.lower()).strip("!?")
    known = next((word for word in _KNOWN if compact == word), None)
    known = known or next((word for word in _BEGINNINGS if compact.startswith(word)), None)
    if (
        known is None
        and compact.startswith("your")
        and compact.endswith(("here", "key", "token", "secret", "password"))
    ):
        known = "your…"
    return f"`{known}`" if known else None


def is_secret(name: str, value: str) -> bool:
    """Say whether ``value`` of the credential ``name`` is the secret itself, not where it is or whether there is one."""
    text = value.strip()
    if not text or text.lower() in _SWITCHES or "${" in text or "://" in text:
        return False
    is_password = any(ending in name.upper() for ending in _PASSWORDS)
    if _NUMBER.fullmatch(text):
        return is_password and text.isdigit()
    if _PATH.fullmatch(text) or _REFERENCE.fullmatch(text) or _PUBLIC.match(text):
        return False
    words = [word.upper() for word in _WORD.findall(name)]
    is_doubtful = "KEY" in words and not _SECRET_KEYS.intersection(words)
    return not is_doubtful or _looks_made(text)


def _looks_made(text: str) -> bool:
    """Say whether a machine made ``text``: no person names a cookie so."""
    return (
        len(text) >= 16
        and not any(map(str.isspace, text))
        and any(map(str.isdigit, text))
        and any(map(str.isalpha, text))
    )
