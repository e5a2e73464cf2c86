"""Tests of the web pages in a real browser: with a mouse, with a keyboard, on a phone, and without scripts.

All tests use the same server, which has the papers of the sample. Each test has its own browser contexts. After the
tests, `--shots FOLDER` saves screenshots of every kind of page, for a person to look at. With `--address URL`, the
script runs no tests and uses the server that is already running at URL: `--shots FOLDER` saves the same screenshots,
and `--readme FOLDER` saves the screenshots of the README.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "clients"))
from serving import LIKEWISE, READ, WRITE, serving  # noqa: E402
from slow_server import slow_server  # noqa: E402

TEXT = "Transits of exoplanets in the light curves of stars"
HOSTILE = "</title></textarea><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\" onmouseover=\"window.hacked = 1"
DAY = "2024-05-06"
TESTS = []


def test(function):
    TESTS.append(function)
    return function


class Site:
    """A server and a browser that opens its pages."""

    def __init__(self, address, browser, data=None):
        self.address, self.browser, self.data = address, browser, data

    def open(self, path="/", **context):
        """Opens a page in a new context. `page.errors` collects the errors of the page's scripts and of the
        browser's console."""
        context = self.browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **context})
        page = context.new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and page.errors.append(message.text))
        page.on("dialog", lambda dialog: page.errors.append(dialog.message))
        page.goto(self.address + path)
        return page

    def post(self, paper):
        request = urllib.request.Request(self.address + "/v1/papers", json.dumps(paper).encode())
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)


def titles(page):
    return page.locator("ol.hits h2").all_inner_texts()


def search(page, text):
    page.fill("#q", text)
    page.keyboard.press("Enter")
    page.wait_for_selector("ol.hits, .note, .empty")


@test
def a_text_search_has_a_url_that_can_be_shared(site):
    page = site.open()
    search(page, TEXT)
    assert "Transit" in titles(page)[0] and len(titles(page)) >= 20, titles(page)
    assert "q=Transits+of" in page.url and page.input_value("#q") == TEXT
    assert page.locator("mark").count() > 5
    shared = site.open(page.url.removeprefix(site.address))
    assert titles(shared)[:20] == titles(page)[:20]
    page.go_back()
    assert page.inner_text("h1") == "Which papers are like this one?"
    page.go_forward()
    assert page.input_value("#q") == TEXT


@test
def a_collapsed_abstract_begins_at_its_most_relevant_sentence(site):
    page = site.open("/?q=" + urllib.parse.quote(TEXT))
    hit = page.locator(".hit:has(.early)").first
    assert hit.locator(".early").is_hidden() and hit.locator("mark").first.is_visible()
    hit.locator(".abstract summary").click()
    assert hit.locator(".early").is_visible()


@test
def hits_are_explained_and_an_unrelated_text_has_no_match(site):
    page = site.open("/?q=" + urllib.parse.quote(TEXT))
    explanation = page.locator(".hit .explanation").first
    assert "transit" in explanation.locator(".terms").inner_text() and explanation.locator(".pair").first.is_hidden()
    explanation.locator("summary").click()
    assert TEXT in explanation.locator(".pair").first.inner_text() and "words" in explanation.locator(".breakdown").inner_text()
    page.click("nav.modes a:text-is('words')")
    page.wait_for_url("**mode=lexical**")
    assert page.locator("nav.modes a[aria-current]").inner_text() == "words" and page.locator(".hit").count() > 0
    page = site.open("/?q=" + urllib.parse.quote("Cream the butter with the sugar, and bake until golden."))
    assert "No match: no paper in this library is closely related" in page.inner_text(".empty") and page.locator(".hit").count() == 0
    page.click(".empty a")
    page.wait_for_url("**all=true**")
    assert page.locator(".hit").count() == 20


@test
def ids_urls_and_bibliographies_are_recognised(site):
    for written in ["9901.00001", "arXiv:9901.00001v2", "https://arxiv.org/abs/9901.00001"]:
        page = site.open()
        search(page, written)
        assert page.url.endswith("/?like=9901.00001"), page.url
        assert page.locator(".chip").count() == 1 and "Detrending" not in titles(page)[0]
    page = site.open()
    search(page, "2222.99999")
    assert "No paper in the library has the id or address 2222.99999" in page.inner_text(".note")
    assert page.input_value("#q") == "2222.99999" and page.locator(".empty, nav.tabs").count() == 0
    page = site.open()
    search(page, "knots")
    assert "q=knots" in page.url
    bib = "@misc{a, title={X}, eprint={9901.00001}}\n@misc{b, title={Y}, eprint={9901.00002}}\n@article{c, title={Bees that count}}"
    page = site.open()
    drop = """([field, text]) => {
        const files = new DataTransfer();
        files.items.add(new File([text], "mine.bib"));
        field.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(drop, [page.query_selector(".field"), bib])
    page.wait_for_selector(".chip")
    assert page.locator(".chip").count() == 2 and page.input_value("#q") == "Bees that count", page.url
    for content, message in [("%PDF-1.7 ...", "PDF"), ("@misc{b, note = {no end", "no entry of the bibliography can be read (line 1, b: the value of note is not closed")]:
        page = site.open()
        page.evaluate(drop, [page.query_selector(".field"), content])
        page.wait_for_selector("main h1:has-text('Invalid request')")
        assert message in page.inner_text("main")
        page.errors.clear()  # The browser logs the status 422 of the page as an error.
    page = site.open()
    page.evaluate(drop, [page.query_selector(".field"), "@misc{a, title={Bees that count}}\n@misc{lost, note={x}}\n@misc{b, title={No end"])
    page.wait_for_selector(".note:has-text('could not be read')")
    note = page.inner_text(".note:has-text('could not be read')")
    assert "line 2, lost: the entry has no title" in note and "line 3, b: the value of title is not closed" in note, note
    assert page.input_value("#q").split("\n")[0] == "Bees that count", page.url


@test
def several_abstracts_are_read_and_truncated_text_is_shown(site):
    page = site.open()
    page.fill("#q", "Knots and their volumes.\n\nBees that count.\n\n" + "glaciers melt " * 300)
    page.click("form.ask button")
    page.wait_for_selector(".note")
    assert "Searched as 3 texts" in page.inner_text(".note")
    assert "The model read the first 256 tokens" in page.inner_text("details.read summary")
    page.click("details.read summary")
    cut = page.inner_text(".cut")
    assert cut.strip().startswith(("glaciers", "melt")) and len(cut) > 1000, cut[:50]


@test
def more_and_less_like_this_refine_the_query(site):
    page = site.open()
    search(page, "stars")
    first = titles(page)
    page.locator(".hit").nth(2).get_by_text("More like this").click()
    page.wait_for_selector(".chip")
    assert first[2] not in titles(page) and page.input_value("#q") == "stars"
    page.locator(".hit").nth(0).get_by_text("Less like this").click()
    page.wait_for_selector(".chip.unlike")
    assert page.locator(".chip").count() == 2
    while page.locator(".chip").count():
        page.locator(".chip .remove").first.click()
        page.wait_for_load_state()
    assert titles(page)[:20] == first[:20]


@test
def filters_can_be_set_and_removed(site):
    page = site.open("/?q=stars")
    bars = page.locator("svg.years rect")
    box = page.locator("svg.years").bounding_box()
    count = bars.count()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 10, steps=5)
    page.mouse.up()
    page.wait_for_url("**from=**")
    dates = page.locator("ol.hits time").all_inner_texts()
    first = int(page.input_value("form.range input[name=from]"))
    assert dates and all(int(date[:4]) >= first for date in dates), (first, dates)
    assert page.locator("svg.years rect").count() == count and page.locator("svg.years rect.out").count() > 0
    page.fill("form.range input[name=from]", "")
    page.fill("form.range input[name=to]", "2010")
    page.click("form.range button")
    page.wait_for_url("**to=2010**")
    assert all(date < "2011" for date in page.locator("ol.hits time").all_inner_texts())
    page = site.open("/?q=stars")
    label = page.locator(".labels a").first
    expected = int(label.locator(".count").inner_text())
    label.click()
    page.wait_for_selector(".labels a[aria-current]")
    assert expected <= int(page.inner_text(".filters .hint").split()[4].rstrip(";"))
    assert page.locator(".labels a").count() > 1, "labels that are not selected must still be listed"
    page.click(".labels a[aria-current]")
    page.wait_for_url("**/?q=stars")
    page = site.open("/?q=stars&from=1890&to=1891")
    assert "No paper matches" in page.inner_text(".empty")
    page.click(".empty a")
    assert titles(page)
    page = site.open("/?q=stars&from=2010&category=nowhere")
    assert page.locator(".chip.filter b").all_inner_texts() == ["from 2010", "nowhere"]
    page.click(".chip.filter [aria-label='Remove the filter nowhere']")
    page.wait_for_url("**/?q=stars&from=2010")
    assert titles(page)
    page = site.open("/?q=stars&from=soon")
    assert "filter.published.from" not in page.inner_text("main") and "from: the date must be" in page.inner_text("main")
    assert page.input_value("#q") == "stars"
    page.errors.clear()  # The browser logs the status 422 of the page as an error.


@test
def hits_can_be_ordered_by_similarity_date_and_diversity(site):
    page = site.open("/?q=stars")
    nearest = titles(page)
    page.click("nav.tabs a:has-text('Newest')")
    page.wait_for_url("**order=newest")
    dates = page.locator("ol.hits time").all_inner_texts()[:20]
    assert dates == sorted(dates, reverse=True)
    page.click("nav.tabs a:has-text('Diverse')")
    page.wait_for_url("**order=diverse")
    assert titles(page)[0] == nearest[0] and titles(page)[:20] != nearest[:20]


@test
def more_papers_are_loaded_while_scrolling(site):
    page = site.open("/?q=stars")
    for _ in range(20):
        page.mouse.wheel(0, 20_000)
        page.wait_for_timeout(200)
        if page.locator(".hit").count() >= 60:
            break
    assert page.locator(".hit").count() >= 60
    loaded = titles(page)
    assert len(set(loaded)) == len(loaded)
    without_script = site.open("/?q=stars", java_script_enabled=False)
    assert len(titles(without_script)) == 20
    without_script.click("a.more")
    assert titles(without_script) == loaded[20:40] and without_script.get_attribute("ol.hits", "start") == "21"


@test
def the_map_is_stable_and_leads_to_other_papers(site):
    page = site.open("/?q=stars")
    page.click("nav.tabs a:has-text('Map')")
    dots = page.locator("figure.map .dot")
    assert dots.count() == 100
    positions = page.eval_on_selector_all(".dot", "dots => dots.map((dot) => [dot.getAttribute('cx'), dot.getAttribute('cy')])")
    again = site.open(page.url.removeprefix(site.address))
    assert again.eval_on_selector_all(".dot", "dots => dots.map((dot) => [dot.getAttribute('cx'), dot.getAttribute('cy')])") == positions
    dots.nth(0).hover()
    tip = page.inner_text(".tip")
    page.click(".table summary")
    assert tip == page.inner_text("tbody tr:first-child td") and page.locator("tbody tr").count() == 100
    page.click(".legend a:has-text('category')")
    page.wait_for_url("**colour=category")
    assert "other" in page.inner_text(".legend")
    page.locator("figure.map a").first.click()
    page.wait_for_url("**/map?like=**")
    assert page.locator(".chip").count() == 1 and tip in page.inner_text(".chip")


@test
def a_paper_page_shows_the_paper_and_similar_ones(site):
    page = site.open("/papers/arXiv:9901.00001v1")
    text = page.inner_text("main")
    for part in ["Detrending Stellar", "Imre Valdane", "2009-03-14", "astro-ph.EP", "9901.00001", "Over time", "Most similar papers"]:
        assert part in text, part
    assert page.locator(".time .dot").count() > 50 and page.locator(".results .hit").count() == 10
    page.locator(".time a").first.click()
    page.wait_for_selector("article.paper")
    assert "Detrending" not in page.inner_text("h1")
    missing = site.open("/papers/2222.99999")
    assert missing.inner_text("h1") == "Not found" and missing.locator("#q").count() == 1
    missing.errors.clear()


@test
def a_day_is_ranked_by_followed_papers_and_marks_new_ones(site):
    for number, title in enumerate(["Transit photometry of dwarf stars", "Sourdough starters and their yeasts"]):
        site.post({"id": f"day/{number}", "title": title, "abstract": title + " are studied.", "published": DAY})
    page = site.open(f"/date/{DAY}")
    assert "Follow papers" in page.inner_text(".hint") and page.locator(".hit").count() == 2
    assert page.locator(".hit .new").count() == 0, "no paper must be marked as new on a first visit"
    page.click("a[rel=prev]")
    page.wait_for_selector("h1 time")
    assert page.inner_text("h1") < DAY
    page.click("a[rel=next]")
    page.goto(site.address + "/papers/9901.00001")
    page.click("form.follow button")
    page.wait_for_selector("form.follow button:has-text('Unfollow')")
    page.goto(f"{site.address}/date/{DAY}")
    assert titles(page) == ["Transit photometry of dwarf stars", "Sourdough starters and their yeasts"]
    assert "Detrending Stellar" in page.inner_text("p.hint") and page.locator(".hit .score").count() == 2
    site.post({"id": "day/2", "title": "Bread ovens", "abstract": "Of bricks.", "published": DAY})
    # As if the browser was closed and reopened: session cookies are lost, persistent cookies are kept.
    kept = [cookie for cookie in page.context.cookies() if cookie["expires"] > 0]
    page.context.clear_cookies()
    page.context.add_cookies(kept)
    page.goto(f"{site.address}/date/{DAY}")
    new = page.locator(".hit:has(.new) h2").all_inner_texts()
    assert new == ["Bread ovens"], (new, kept)
    assert "1 new since your last visit" in page.inner_text("p.hint")
    page.reload()
    assert page.locator(".hit .new").count() == 1, "a new paper must stay marked as new during a visit"
    empty_day = site.open("/date/1950-01-01")
    assert "No paper is known" in empty_day.inner_text(".empty")
    invalid = site.open("/date/2024-02-31")
    assert "2024-02-31" in invalid.inner_text("main")
    invalid.errors.clear()


@test
def the_pages_can_be_used_with_the_keyboard_alone(site):
    page = site.open()
    page.keyboard.press("/")
    page.keyboard.type("stars")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("and planets")
    page.keyboard.press("Enter")
    page.wait_for_selector("ol.hits")
    page.evaluate("document.activeElement.blur()")
    names = titles(page)
    for key in "jjjk":
        page.keyboard.press(key)
    assert page.inner_text(".hit.selected h2") == names[1]
    page.keyboard.press("o")
    assert page.locator(".hit.selected details[open]").count() == 1
    page.keyboard.press("Enter")
    page.wait_for_selector("article.paper")
    assert page.inner_text("h1") == names[1]
    # Tab reaches every control, and the focus is visible.
    page = site.open("/?q=stars")
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none' || document.activeElement.matches('textarea, svg a')")


@test
def the_pages_work_without_scripts(site):
    page = site.open("/", java_script_enabled=False)
    page.fill("#q", TEXT)
    page.click("form.ask button")
    assert "Transit" in titles(page)[0] and page.input_value("#q") == TEXT
    page.locator(".hit").nth(1).get_by_text("More like this").click()
    assert page.locator(".chip").count() == 1
    page.click("nav.tabs a:has-text('Map')")
    assert page.locator(".dot").count() > 90
    page.locator("figure.map a").first.dispatch_event("click")
    page.wait_for_url("**/map?like=*")
    page.goto(site.address + "/papers/9901.00002")
    page.click("form.follow button")
    assert "Unfollow" in page.inner_text("form.follow")
    page.goto(site.address + "/status")
    assert "Papers" in page.inner_text("dl")
    page.goto(site.address + "/?q=stars")
    page.fill("form.range input[name=from]", "2020")
    page.click("form.range button")
    assert "from=2020" in page.url


PAGES = ["/", "/?q=stars", "/?q=stars&like=9901.00001&order=diverse", "/map?q=stars", "/papers/9901.00001", f"/date/{DAY}",
         "/status", "/papers/no-such-id", "/?q=stars&from=1890&to=1891"]


@test
def the_pages_fit_a_narrow_screen(site):
    for path in PAGES:
        page = site.open(path, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, (path, width)
        page.errors.clear()
        page.context.close()
    page = site.open("/?q=stars", viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    assert not page.is_visible("form.range")
    page.tap("details.filters summary")
    assert page.is_visible("form.range")
    # The first tap on a dot of the map shows the title of the paper; the second tap follows the link.
    page.goto(site.address + "/map?q=stars")
    dot = page.locator("figure.map a").first
    dot.tap()
    assert page.url.endswith("/map?q=stars") and page.is_visible(".tip")
    dot.tap()
    page.wait_for_url("**/map?like=**")


@test
def axe_finds_no_accessibility_problems(site):
    options = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}
    for scheme in ["light", "dark"]:
        for width in [1200, 390]:
            for path in PAGES:
                page = site.open(path, color_scheme=scheme, viewport={"width": width, "height": 900})
                found = Axe().run(page, options=options).response["violations"]
                violations = [(rule["id"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in found]
                assert not violations, (path, scheme, width, violations)
                page.errors.clear()
                page.context.close()


@test
def html_and_scripts_in_papers_are_shown_as_text(site):
    hostile = {"id": "h/\"><script>window.hacked=1</script>", "title": HOSTILE, "abstract": HOSTILE + ". " + HOSTILE, "authors": [HOSTILE],
               "categories": [HOSTILE, HOSTILE + "2"], "venue": HOSTILE, "url": "javascript:window.hacked=1", "published": "1999-09-09"}
    assert site.post(hostile)["added"] == 1
    for path in ["/?q=script+onerror+hacked", "/map?q=script+onerror", "/papers/h/%22%3E%3Cscript%3Ewindow.hacked=1%3C/script%3E",
                 "/date/1999-09-09", "/?q=%3C/textarea%3E%3Cscript%3Ewindow.hacked=1%3C/script%3E", "/?q=a&category=%22%3E%3Cscript%3E"]:
        page = site.open(path)
        assert "<script>" in page.inner_text("main") or page.locator("#q").input_value().count("<script>"), path
        assert page.evaluate("window.hacked") is None and not page.errors, (path, page.errors)
        assert page.locator("[onmouseover], [onerror], [style], script:not([src]), a[href^=javascript]").count() == 0, path
        page.context.close()
    response = urllib.request.urlopen(site.address + "/?q=stars")
    policy = response.headers["content-security-policy"]
    assert "script-src 'self'" in policy and "unsafe" not in policy and response.headers["referrer-policy"] == "same-origin"


@test
def pages_are_small_and_fast(site):
    for path in ["/", "/?q=stars", "/map?q=stars", "/papers/9901.00001"]:
        # The page is opened in a tab that has already shown a page of the site. A page of one word is measured too; its
        # time is the shortest that is possible in this browser on this machine.
        page, painted, bare = site.open(), [], []
        page.route("**/bare", lambda route: route.fulfill(body="<!doctype html><title>Bare</title>bare", content_type="text/html"))
        # The page may take up to 100 ms longer than the page of one word. If the page of one word takes more than
        # 50 ms, the 100 ms grow in proportion.
        is_slow = lambda: min(painted) - min(bare) >= 100 * max(1, min(bare) / 50)  # noqa: E731
        # The machine can be busy for a moment, so up to 20 measurements are made.
        while len(painted) < 5 or is_slow() and len(painted) < 20:
            for times, address in [(bare, "/bare"), (painted, path)]:
                page.goto(site.address + address, wait_until="networkidle")
                # On a slow machine, a page can be completely loaded before it is painted.
                page.wait_for_function("""performance.getEntriesByName("first-contentful-paint").length""")
                times.append(page.evaluate("""performance.getEntriesByName("first-contentful-paint")[0].startTime
                    - performance.getEntriesByType("navigation")[0].responseStart"""))
        page.context.close()
        for _ in range(2):
            page = site.open("/health")
            sizes = []
            page.on("response", lambda response: sizes.append(len(response.body())))
            page.goto(site.address + path, wait_until="networkidle")
            assert sum(sizes) < 100_000, (path, sizes)
            page.context.close()
        print(f"  {path}: {sum(sizes):,} bytes in {len(sizes)} files; painted {min(painted):.0f} to {max(painted):.0f} ms "
              f"after the response began, a page of one word {min(bare):.0f} to {max(bare):.0f} ms")
        assert not is_slow(), (path, painted, bare)


@test
def the_layout_does_not_shift_while_a_page_loads(site):
    shifts = """window.shifts = []; new PerformanceObserver((list) => {
        for (const entry of list.getEntries())
            for (const { node } of entry.sources) window.shifts.push((node?.outerHTML ?? node?.textContent ?? "").slice(0, 80));
    }).observe({ type: "layout-shift", buffered: true });"""
    with slow_server(site.address) as address:
        for path in ["/", "/?q=stars", "/map?q=stars", "/papers/9901.00001"]:
            for size in [(1200, 900), (390, 844)]:
                context = site.browser.new_context(viewport=dict(zip(["width", "height"], size)))
                page = context.new_page()
                page.add_init_script(shifts)
                page.goto(address + path, wait_until="networkidle")
                shifted = page.evaluate("window.shifts")
                assert not shifted, (path, size, shifted)
                context.close()


@test
def the_status_page_is_updated(site):
    page = site.open("/status")
    before = page.inner_text("dl dd")
    site.post({"id": f"live/{time.time()}", "title": "A new paper", "abstract": "It was added while the status page was open."})
    for _ in range(100):
        if page.inner_text("dl dd") != before:
            return
        page.wait_for_timeout(100)
    raise AssertionError("the status page did not change within 10 s")


@test
def the_status_page_shows_a_running_ingest(site):
    page = site.open("/status")
    ingest = subprocess.Popen([LIKEWISE, "ingest", "-", "--data", site.data], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    papers = [{"id": f"taken/{number}", "title": f"Number {number}", "abstract": "Taken in. " * 20} for number in range(500)]
    ingest.stdin.write("".join(json.dumps(paper) + "\n" for paper in papers).encode())
    ingest.stdin.flush()
    page.wait_for_selector(".running")
    assert "from standard input" in page.inner_text(".running")
    ingest.stdin.close()
    assert ingest.wait(60) == 0
    page.wait_for_selector(".running", state="detached")
    assert "from standard input: 500 read, 500 added" in page.inner_text("dl"), page.inner_text("dl")


def keys(browser):
    """Tests that a server with keys shows a form for the key, and that the cookie with the key allows only reading."""
    with serving() as (address, _):
        site = Site(address, browser)
        page = site.open("/?q=stars")
        assert page.inner_text("h1") == "Not allowed"
        page.fill("#key", "not the key, but long")
        page.click("form.key button")
        assert "the key is unknown" in page.inner_text("main")
        page.fill("#key", WRITE)
        page.click("form.key button")
        page.wait_for_selector("#q")
        search(page, "stars")
        assert titles(page)
        cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in page.context.cookies())
        request = urllib.request.Request(address + "/v1/papers", b'{"title": "a", "abstract": "b"}', {"cookie": cookies})
        try:
            urllib.request.urlopen(request)
            raise AssertionError("a write with the cookie was accepted")
        except urllib.error.HTTPError as error:
            assert error.code == 401, error
        assert READ


def pages(site):
    """Returns the pages to take screenshots of: name of the screenshot, and path of the page."""
    query = "/?q=graph+neural+networks+for+molecules"
    page = site.open(query)
    ids = [link.get_attribute("href").removeprefix("/papers/") for link in page.locator(".hit h2 a").all()[:3]]
    page.context.close()
    long = urllib.parse.quote("We study how graph neural networks predict what molecules do. " * 40)
    return {
        "start": "/",
        "list": query,
        "refined": f"{query}&like={ids[0]}&unlike={ids[1]}&from=2019&to=2023&order=diverse",
        "cut": f"/?q={long}&q=Knots&missing=2101.99999",
        "empty": f"{query}&venue=nowhere",
        "map": query.replace("/?", "/map?"),
        "categories": query.replace("/?", "/map?") + "&colour=category",
        "paper": f"/papers/{ids[1]}",
        "day": f"/date/{DAY}",
        "emptyday": "/date/1999-01-01",
        "notfound": "/papers/2101.99999",
        "invalid": query + "&from=yesterday",
        "status": "/status",
    }


def screenshots(site, folder):
    """Takes screenshots of every page in two widths and in both colour schemes, and saves two pages as PDFs."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = pages(site)
    for scheme in ["light", "dark"]:
        for width, height in [(1440, 1000), (390, 844)]:
            for name, path in paths.items():
                page = site.open(path, color_scheme=scheme, viewport={"width": width, "height": height})
                page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=name in ["paper", "status"])
                page.context.close()
    for name in ["list", "paper"]:
        page = site.open(paths[name])
        page.pdf(path=folder / f"{name}.pdf")
        page.context.close()


def readme(site, folder):
    """Takes the four screenshots of the README."""
    query = "/?q=graph+neural+networks+for+molecules"
    for name, path, size, scheme in [
        ("list", query, (1280, 900), "light"),
        ("map", query.replace("/?", "/map?"), (1280, 900), "light"),
        ("paper", None, (1280, 900), "light"),
        ("phone", query, (390, 844), "dark"),
    ]:
        page = site.open(path or query, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        if name == "map":
            page.locator("figure.map a").nth(4).hover()
        if not path:
            page.locator(".hit h2 a").nth(1).click()
            page.wait_for_selector("article.paper")
            page.locator(".known").scroll_into_view_if_needed()
            page.mouse.wheel(0, 520)
            page.wait_for_timeout(300)
        page.screenshot(path=pathlib.Path(folder) / f"{name}.jpg", type="jpeg", quality=70)
        page.context.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", required=True, help="the path of Chromium")
    parser.add_argument("--shots")
    parser.add_argument("--readme")
    parser.add_argument("--address")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.browser, args=["--no-sandbox"])
        if options.address:
            site = Site(options.address, browser)
            if options.shots:
                screenshots(site, options.shots)
            if options.readme:
                readme(site, options.readme)
            return
        with serving(keys=False) as (address, data):
            site = Site(address, browser, data)
            site.post({"id": "day/first", "title": "A paper of that day", "abstract": "The day before needs a paper.", "published": "2024-05-05"})
            for function in TESTS:
                if options.only not in function.__name__:
                    continue
                function(site)
                for context in browser.contexts:
                    for page in context.pages:
                        assert not getattr(page, "errors", []), (function.__name__, page.errors)
                    context.close()
                print(function.__name__.replace("_", " "))
            if options.shots:
                screenshots(site, options.shots)
        if not options.only:
            keys(browser)
            print("keys")


if __name__ == "__main__":
    main()
