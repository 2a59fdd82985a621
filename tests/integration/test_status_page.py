"""The status page of a real boot, in a real browser."""

import os
import signal
import sys
import urllib.parse

import pytest
import tree as trees
from selenium.webdriver.common.keys import Keys

from tests import chromium

STALE = "NO ANSWER"
STEADY = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "2s"}}
"""A program that is unready for two seconds when it was killed."""
HOSTILE = (
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "</pre></script><style>* {display: none}</style>",
    "a\u202etxt.exe \u2066b\u200b \x1b[31mred\x1b[0m \x1b]0;owned\x07 \x00",
    "x" * 200,
)
CONTRASTS = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const light = (rgb) => { const [r, g, b] = rgb.slice(0, 3).map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (node) => { for (; node; node = node.parentElement) { const c = parse(getComputedStyle(node).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
for (let text; (text = walker.nextNode());) {
  const node = text.parentElement, box = node.getBoundingClientRect(), style = getComputedStyle(node);
  if (!text.data.trim() || box.width < 2 || style.visibility === "hidden" || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(node.tagName)) continue;
  const [a, b] = [light(parse(style.color)), light(behind(node))].sort((x, y) => y - x);
  found.push([(a + 0.05) / (b + 0.05), text.data.trim().slice(0, 40)]);
}
return found.sort((x, y) => x[0] - y[0]);
"""


@pytest.fixture(scope="module")
def chrome():
    if why := chromium.lacking():
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    with chromium.browser() as driver:
        yield driver


class Page:
    """The page of a tree, as a person has it open."""

    def __init__(self, driver, tree) -> None:
        self.driver = driver
        self.origin = f"http://127.0.0.1:{tree.port}"
        chromium.look(driver)
        chromium.requested(driver)
        chromium.complaints(driver)
        driver.get(f"{self.origin}/")
        driver.execute_script("window.isTheSamePage = true")

    def do(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, selector) -> str:
        return self.do(
            "return [...document.querySelectorAll(arguments[0])].filter((n) => n.checkVisibility()).map((n) => n.innerText).join('\\n')",
            selector,
        )

    def texts(self, selector) -> list[str]:
        return self.do(
            "return [...document.querySelectorAll(arguments[0])].filter((n) => n.checkVisibility()).map((n) => n.innerText)",
            selector,
        )

    def until(self, claim, what):
        return trees.wait_until(claim, what, lambda: self.text("body")[:3000])

    def until_verdict(self, verdict):
        self.until(lambda: self.text("#verdict") == verdict, f"the page says {verdict}")

    def mark(self, name) -> float | None:
        return self.do("return performance.getEntriesByName(arguments[0]).at(-1)?.startTime ?? null", name)

    def assert_clean(self, complaints=()) -> None:
        """See that it was never loaded again, spoke to nobody else, and that the browser had nothing to complain of."""
        assert self.do("return window.isTheSamePage") is True
        foreign = [url for url in chromium.requested(self.driver) if not url.startswith((f"{self.origin}/", "data:"))]
        assert foreign == []
        said = [one["message"] for one in chromium.complaints(self.driver)]
        assert [one for one in said if not any(known in one for known in complaints)] == []

    def overflow(self) -> list[str]:
        """Return what reaches over the right edge of the window."""
        return self.do(
            "const wide = document.documentElement.clientWidth; if (document.documentElement.scrollWidth <= wide) return [];"
            "return [...document.querySelectorAll('body *')].filter((n) => n.getBoundingClientRect().right > wide + 1)"
            ".map((n) => n.tagName + '#' + n.id + '.' + n.className)"
        )


@pytest.fixture
def show(chrome):
    yield lambda tree: Page(chrome, tree)
    chrome.get("about:blank")  # nobody asks a server that is gone


def script(*lines, end="sys.exit(3)") -> list[str]:
    """Return a command that prints ``lines``."""
    return [
        sys.executable,
        "-c",
        f"import sys, time\nfor line in {lines!r}: print(line, flush=True)\ntime.sleep(0.1)\n{end}",
    ]


def test_a_program_that_dies_is_shown_with_its_name_and_reason_without_a_reload_and_so_is_its_return(tree, show):
    tree.build({"programs": {"store": trees.QUICK, "api": {**STEADY, "after": ["store"]}}})
    tree.start().wait_ready()
    page = show(tree)
    page.until_verdict("READY")
    page.until(lambda: page.text("#link-text") == "live", "the page is live")
    assert page.driver.title == "READY · tree"
    assert page.text("#missing") == ""

    os.kill(tree.program("api").pid, signal.SIGKILL)

    page.until_verdict("UNREADY")
    assert page.text("#reason").startswith("Required program api: ")
    assert "killed by signal 9" in page.text("#reason")
    [row] = page.texts("#missing tbody tr")
    assert row.startswith("api")
    assert "program" in row
    assert page.driver.title == "UNREADY · tree"
    assert page.do("return document.getElementById('say').textContent").startswith("Unready: Required program api")
    assert page.mark("event:ReadinessChanged") is not None
    assert page.mark("shown:UNREADY") > page.mark("shown:READY")

    page.until_verdict("READY")
    api_row = next(row for row in page.texts("#programs tbody tr") if row.startswith("api"))
    assert "1 (1 signal)" in api_row
    page.assert_clean()


def test_an_event_makes_the_page_ask_at_once_and_not_at_its_next_turn(tree, show):
    tree.build({"programs": {"api": STEADY}})
    tree.start().wait_ready()
    page = show(tree)
    page.until_verdict("READY")
    page.until(lambda: page.text("#link-text") == "live", "the page is live")
    page.do(  # from now on the page's own turn never comes
        "const real = setTimeout; window.setTimeout = (work, ms, ...more) => ms >= 1000 ? 0 : real(work, ms, ...more);"
        "performance.clearResourceTimings();"
    )
    page.do(
        "return new Promise((r) => { const was = performance.now(); (function wait() { performance.now() - was > 1500 ? r() : requestAnimationFrame(wait); })(); })"
    )
    os.kill(tree.program("api").pid, signal.SIGKILL)
    page.until_verdict("UNREADY")
    assert page.mark("event:ReadinessChanged") < page.mark("shown:UNREADY")


def test_the_boot_is_a_waterfall_that_can_be_read_as_text_too(tree, show):
    slow = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "400ms"}}
    tree.build({"programs": {"store": slow, "api": {**slow, "after": ["store"]}, "late": {"command": ["sleep", "1000"], "ready": {"file": "${run}/never-there"}, "required": False}}})  # fmt: skip
    tree.start().wait_ready()
    page = show(tree)
    page.until_verdict("READY")

    rows = page.do(
        "return [...document.querySelectorAll('#boot tbody tr')].map((r) => [r.cells[0].textContent, r.cells[1].firstChild.textContent, r.cells[2].textContent,"
        " Object.fromEntries([...r.querySelectorAll('i')].map((i) => [i.className, [i.getBoundingClientRect().left, i.getBoundingClientRect().right]]))])"
    )
    said = {name: (text, done, bars) for name, text, done, bars in rows}
    assert {"run-directory", "preflight", "probes", "store", "api", "late", "sealed"} <= set(said)
    views = {view["name"]: view["first"] for view in tree.get("/health")[1]["programs"]}
    for name in ("store", "api"):
        text, done, bars = said[name]
        assert f"started at {views[name]['spawned']:.2f} s" in text
        assert f"ready at {views[name]['ready']:.2f} s" in text
        assert done == f"{views[name]['ready']:.2f} s"
        assert bars["wait"][1] == pytest.approx(bars["start"][0], abs=2)
        assert bars["start"][0] < bars["ready"][0]
    assert said["store"][2]["ready"][0] <= said["api"][2]["start"][0] + 1  # on one axis: api waited for store
    assert said["late"][1] == "pending"
    assert "not ready: " in said["late"][0]
    assert "seal" in said["api"][2]
    assert page.text("#boot-title").startswith("The boot sealed after ")
    page.assert_clean()


def test_before_the_seal_the_axis_ends_now_and_what_failed_ends_where_it_failed(tree, show):
    never = {"command": ["sleep", "1000"], "ready": {"file": "${run}/never-there"}}
    bad = {"command": ["sh", "-c", "sleep 0.3; exit 7"], "oneshot": True, "required": False}
    tree.build({"programs": {"waits": never, "bad": bad}})
    tree.start()
    trees.wait_until(
        lambda: os.path.exists(tree.run.ledger_socket) and tree.program("bad").final, "bad failed for good"
    )
    page = show(tree)
    page.until(
        lambda: "so far, not sealed" in page.text("#boot-title") and float(page.text("#boot-title").split()[2]) > 6,
        "some seconds passed",
    )
    elapsed, ticks, bars = page.do(
        "const width = document.querySelector('#boot .axis').getBoundingClientRect().width, bars = {};"
        "for (const row of document.querySelectorAll('#boot tbody tr')) bars[row.cells[0].textContent] = "
        "Math.max(...[...row.querySelectorAll('i')].map((i) => parseFloat(i.style.left) + parseFloat(i.style.width)));"
        "return [parseFloat(document.querySelector('#boot-title').innerText.split(' ')[2]),"
        " [...document.querySelectorAll('#boot .axis i')].map((i) => [parseFloat(i.textContent), parseFloat(i.style.left)]), bars]"
    )
    moment, left = ticks[-1]
    assert 100 * moment / left == pytest.approx(elapsed, abs=0.2)
    assert bars["waits"] == pytest.approx(100)
    assert bars["bad"] < 60
    page.assert_clean()


def test_while_pid_1_does_not_answer_what_only_it_knows_is_grey_and_told_as_old(tree, show):
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    page = show(tree)
    page.until_verdict("READY")
    grey = "return getComputedStyle(document.querySelector('#programs')).filter"
    assert page.do(grey) == "none"
    os.kill(tree.pid, signal.SIGSTOP)
    try:
        page.until_verdict("UNREADY")
        assert "PID 1 has not " in page.text("#reason")
        page.until(lambda: "as PID 1 last told, " in page.text("#programs-title"), "the programs are told as old")
        assert "grayscale" in page.do(grey)
        assert page.do(CONTRASTS)[0][0] >= 4.5
    finally:
        os.kill(tree.pid, signal.SIGCONT)
    page.until_verdict("READY")
    assert page.do(grey) == "none"
    assert page.text("#programs-title") == "Programs 1 of 1 ready"
    page.assert_clean()


@pytest.mark.parametrize("how", ["it is gone", "it hangs"])
def test_when_nothing_is_heard_the_page_says_so_and_never_that_it_is_ready(tree, show, how):
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    page = show(tree)
    page.until_verdict("READY")
    page.until(lambda: page.text("#link-text") == "live", "the page is live")
    page.do(
        "window.links = []; const node = document.getElementById('link-text');"
        "new MutationObserver(() => links.push(node.textContent)).observe(node, { childList: true, characterData: true, subtree: true })"
    )
    was = page.do(
        "return [getComputedStyle(document.querySelector('#programs h2')).color, getComputedStyle(document.querySelector('#detail')).filter]"
    )
    server = tree.program("probes").pid
    if how == "it is gone":
        assert tree.stop() == 0
    else:
        os.kill(server, signal.SIGSTOP)

    page.until_verdict(STALE)

    assert page.text("#link-text").startswith("stale: nothing heard for ")
    assert "reconnecting" in page.do("return links.map((one) => one.split(' ').at(-1))"), (
        "before that it is not live either"
    )
    assert "Nothing was heard from the container for" in page.text("#reason")
    assert "ready" in page.text("#reason").rpartition("how it stood at")[2]
    assert page.driver.title == f"{STALE} · tree"
    assert page.do("return document.body.dataset.verdict") == "stale"
    now = page.do(
        "return [getComputedStyle(document.querySelector('#programs h2')).color, getComputedStyle(document.querySelector('#detail')).filter]"
    )
    assert now != was
    assert "grayscale" in now[1]
    assert page.do(CONTRASTS)[0][0] >= 4.5
    if how == "it hangs":
        os.kill(server, signal.SIGCONT)
        page.until_verdict("READY")
        page.until(lambda: page.text("#link-text") == "live", "the page is live again")
    page.assert_clean(complaints=("net::ERR_", "Failed to load resource"))


def test_what_a_program_prints_is_text_and_nothing_else(tree, show):
    bad = {"command": script(*HOSTILE), "required": False, "restart": {"backoff": "30s"}}
    tree.build({"programs": {"api": trees.QUICK, "bad": bad, "a" * 60: trees.QUICK}})
    tree.start().wait_ready()
    page = show(tree)
    page.until(lambda: "owned" in page.text("#words"), "the last words are shown")
    words = page.text("#words")
    for line in HOSTILE[:3]:
        assert line in words
    assert "\\u202etxt.exe \\u2066b\\u200b red \\u001b]0;owned\\u0007" in words
    assert not set(page.text("body")) & {"\u202e", "\u2066", "\x1b"}
    assert page.do(
        "return [document.scripts.length, document.querySelectorAll('img, style').length, document.title.includes('owned')]"
    ) == [1, 1, False]
    for width in (320, 1200):
        chromium.look(page.driver, width=width)
        assert page.overflow() == []
    page.do("document.querySelectorAll('#log details').forEach((one) => { one.open = true; })")
    page.until(lambda: page.do("return document.querySelectorAll('#log pre').length > 0"), "an event is open")
    assert page.overflow() == []
    page.assert_clean()


def test_a_hundred_programs_are_shown_and_the_troubled_one_first(tree, show):
    programs = {f"worker-{number:03}": trees.QUICK for number in range(99)}
    programs["the-one-that-fails"] = {
        "command": script("no such table: orders"),
        "required": False,
        "restart": {"backoff": "30s"},
    }
    tree.build({"programs": programs})
    tree.start().wait_ready()
    page = show(tree)
    page.until_verdict("READY")
    page.until(lambda: page.text("#programs-title") == "Programs 99 of 100 ready", "the count")
    rows = page.texts("#programs tbody tr")
    assert len(rows) == 103
    assert rows[0].startswith("the-one-that-fails")
    assert all("bootseal" in row for row in rows[-3:])
    assert len(page.texts("#boot tbody tr")) >= 104
    for width in (320, 768, 1200):
        chromium.look(page.driver, width=width)
        assert page.overflow() == []
    names = page.do("window.rowsNow = [...document.querySelectorAll('#programs tbody tr')]; return rowsNow.length")
    before = page.mark("shown:READY")
    os.kill(tree.program("worker-042").pid, signal.SIGKILL)
    page.until(lambda: "1 (1 signal)" in page.text("#programs tbody"), "the restart is counted")
    # rows stay the nodes they were: what a person selected or focused is not taken away
    assert (
        page.do(
            "return rowsNow.every((row) => row.isConnected) && document.querySelectorAll('#programs tbody tr').length"
        )
        == names
    )
    assert before is not None
    page.assert_clean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_both_schemes_and_on_a_phone(tree, show, scheme):
    tree.build(
        {
            "programs": {
                "api": trees.QUICK,
                "bad": {"command": script("cannot bind"), "required": False, "restart": {"backoff": "30s"}},
            }
        }
    )
    tree.start().wait_ready()
    page = show(tree)
    page.until(lambda: "cannot bind" in page.text("#words"), "the last words are shown")
    for width in (320, 1200):
        chromium.look(page.driver, width=width, prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        contrasts = page.do(CONTRASTS)
        assert len(contrasts) > 50
        assert contrasts[0][0] >= 4.5, contrasts[:5]
        assert page.overflow() == []
    background = page.do("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(background) < 3 * 64) == (scheme == "dark")


def test_a_keyboard_reaches_everything_in_order_and_what_has_the_focus_is_seen(tree, show):
    tree.build(
        {
            "programs": {
                "api": trees.QUICK,
                "bad": {"command": script("cannot bind"), "required": False, "restart": {"backoff": "30s"}},
            }
        }
    )
    tree.start().wait_ready()
    page = show(tree)
    page.until(lambda: "cannot bind" in page.text("#words") and page.texts("#log li"), "the page is whole")
    controls = page.do(
        "return [...document.querySelectorAll('a, button, input, select, summary, [tabindex=\"0\"]')].filter((n) => n.checkVisibility()).length"
    )
    reached = []
    for _ in range(controls):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        name, outline = page.do(
            "const n = document.activeElement, s = getComputedStyle(n); n.seen = true;"
            "return [n.id || n.className || n.tagName, s.outlineStyle + s.outlineWidth]"
        )
        reached.append(name)
        assert outline == "solid3px", name
    assert (
        page.do(
            "return [...document.querySelectorAll('a, button, input, select, summary, [tabindex=\"0\"]')].filter((n) => n.checkVisibility() && !n.seen).map((n) => n.outerHTML.slice(0, 80))"
        )
        == []
    )
    assert reached[0] == "skip"
    assert reached.index("search") < reached.index("level") < reached.index("log")

    page.do("document.getElementById('search').focus()")
    page.driver.switch_to.active_element.send_keys("programREADY", Keys.TAB, Keys.TAB, Keys.TAB)
    shown = page.texts("#log summary b")
    assert set(shown) == {"ProgramReady"}
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.until(lambda: '"event": "ProgramReady"' in page.text("#log pre"), "the event is open")
    page.do("document.getElementById('search').focus()")
    page.driver.switch_to.active_element.send_keys("xyzzy")
    assert page.texts("#log li") == ["None of the events is like that."]
    page.assert_clean()


def test_a_screen_reader_finds_landmarks_headings_tables_and_names(tree, show):
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    page = show(tree)
    page.until_verdict("READY")
    for width in (320, 1200):
        chromium.look(page.driver, width=width)
        nodes = [
            node
            for node in page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
            if not node.get("ignored")
        ]
        found = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes]
        roles = [role for role, _ in found]
        assert {"banner", "main", "navigation", "contentinfo", "status"} <= set(roles)
        assert ("heading", "READY") in found
        assert {name for role, name in found if role == "table"} >= {"Programs 1 of 1 ready"}
        assert [name for role, name in found if role == "columnheader"][:6] == [
            "Program",
            "State",
            "Why",
            "Since",
            "Restarts",
            "Pid",
        ]
        assert "rowheader" in roles
        for role, name in found:
            if role in {"button", "link", "searchbox", "textbox", "combobox", "region", "table"}:
                assert name, role
    assert page.do("return document.documentElement.lang") == "en"


def test_who_wants_no_motion_has_none(tree, show):
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    page = show(tree)
    chromium.look(page.driver, prefers_reduced_motion="reduce")
    moving = "return [...document.querySelectorAll('*')].filter((n) => { const s = getComputedStyle(n); return s.animationName !== 'none' || s.transitionDuration !== '0s'; }).length"
    assert page.do(moving) == 0


def test_with_a_token_the_page_asks_for_it_and_keeps_it_nowhere_but_in_memory(tree, show):
    token = "an-operators-own-token-0123456789"
    path = tree.root / "token"
    path.write_text(f"{token}\n")
    path.chmod(0o644)
    tree.build(
        {
            "programs": {"api": trees.QUICK},
            "probes": {"listen": f"127.0.0.1:{tree.port}", "detail": {"token": {"file": str(path)}}},
        }
    )
    tree.start().wait_ready()
    page = show(tree)
    page.until(lambda: page.do("return !document.getElementById('access').hidden"), "the token is asked for")
    page.until_verdict("READY")  # so much anybody may know
    assert page.text("#link-text") == "a token is needed"
    assert page.text("#programs") == ""

    page.driver.find_element("id", "token").send_keys("a-wrong-token-0123456789", Keys.ENTER)
    page.until(lambda: "That was not the token" in page.text("#access-text"), "a wrong token is told")
    page.driver.find_element("id", "token").send_keys(token, Keys.ENTER)
    page.until(lambda: "api" in page.text("#programs"), "the programs are shown")
    page.until(lambda: page.text("#link-text") == "live", "the events come with the token")
    page.until(lambda: page.texts("#log li"), "the events are shown")
    assert page.text("#access") == ""
    kept = page.do(
        "return [localStorage.length, sessionStorage.length, document.cookie, location.href, document.getElementById('token').value]"
    )
    assert kept == [0, 0, "", f"{page.origin}/", ""]
    assert all(token not in urllib.parse.unquote(url) for url in chromium.requested(page.driver))
    page.assert_clean(complaints=("401",))
