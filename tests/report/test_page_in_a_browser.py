"""The page of ``cmbench report`` in Chromium: what readers do with it, by mouse, by keyboard, by tap.

Needs Debian's package chromium and the extra ``browser``.
"""

import csv
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from made_records import TASKS, failed_record, made_dataset, made_error, made_record

from cmbench.report.page.document import document, write
from cmbench.report.page.sources import Study

playwright = pytest.importorskip("playwright.sync_api", reason="the extra browser is not installed")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="the extra browser is not installed"
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
METHODS = {"cca": "traditional", "jrl": "traditional", "ccl": "deep", "cmgans": "deep"}
NARROW, WIDE = {"width": 380, "height": 800}, {"width": 1600, "height": 1000}
PAIRS = 40


def arrays_of(record):
    name = sha256(f"{record['method']['name']} {record['seed']}".encode()).digest()
    drawn = np.random.default_rng(list(name))
    arrays = {f"ap_{task}": drawn.uniform(size=PAIRS) for task in TASKS}
    ids = np.array([f"pair {at}" for at in range(PAIRS)])
    return {**arrays, "ids": ids, "labels": np.arange(PAIRS) % 2}


def study():
    records = []
    for number, name in enumerate(("toy", "Größe <b>")):
        dataset = made_dataset(name, sizes={"train": 80, "validation": 8, "test": PAIRS})
        for at, (method, family) in enumerate(METHODS.items()):
            values = [0.1 * (at + 1) + 0.01 * number + 0.003 * shift for shift in range(4)]
            seeds = (0, 1) if family == "deep" else (None,)
            records += [
                made_record(method, values, dataset=dataset, seed=seed, family=family) for seed in seeds
            ]
        records.append(failed_record("dcca", "timeout", dataset=dataset, error=made_error("Timeout")))
    return Study(tuple(records), arrays_of, ("runs",))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    before = study()
    earlier = Study(before.records[1:], arrays_of, ("earlier",))
    path = write(document(before, before=earlier), tmp_path_factory.mktemp("page"))
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, address):
    """A function that opens the page, and at the end says what the browser complained of and asked for."""
    contexts, troubles = [], []

    def opening(viewport=WIDE, at=address, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: local(request.url) or troubles.append(request.url))
        page.goto(at)
        return page

    yield opening
    for context in contexts:
        context.close()
    assert not troubles


def local(url):
    return url.startswith(("file:", "data:", "blob:"))


def board(page, number=0):
    return page.locator("section.dataset table.board").nth(number)


def names(table):
    return [text.split()[0] for text in table.locator("tbody th").all_inner_texts()]


def test_a_column_sorts_by_click_and_back(opened):
    page = opened()
    header = board(page).get_by_role("columnheader", name="image→text")
    header.click()
    playwright.expect(header).to_have_attribute("aria-sort", "descending")
    assert names(board(page))[:4] == ["CMGANS", "CCL", "JRL", "CCA"]
    header.click()
    playwright.expect(header).to_have_attribute("aria-sort", "ascending")
    assert [name for name in names(board(page)) if name != "DCCA"] == ["CCA", "JRL", "CCL", "CMGANS"]


def test_filters_leave_what_fits(opened):
    page = opened()
    page.get_by_label("Family").select_option("deep")
    assert names(board(page)) == ["CCL", "CMGANS"]
    page.get_by_label("Family").select_option("")
    page.get_by_label("Method", exact=True).fill("jrl cmg")
    assert sorted(names(board(page))) == ["CMGANS", "JRL"]
    page.get_by_label("Method", exact=True).fill("nothing like it")
    assert "No method here fits the filter" in board(page).inner_text()
    page.get_by_label("Method", exact=True).fill("")
    page.get_by_role("combobox", name="Dataset").select_option("dataset-2")
    assert page.locator("#dataset-1").is_hidden()
    assert page.locator("#dataset-2").is_visible()


def test_a_number_shows_its_record_on_hover_and_escape_hides_it(opened):
    page = opened()
    number = board(page).locator("a.number").first
    number.hover()
    popover = page.get_by_role("tooltip")
    assert popover.is_visible()
    values = page.locator(number.get_attribute("href")).locator("td[data-column=image_to_text][data-value]")
    for value in values.all():
        assert f"{float(value.get_attribute('data-value')):.5f}" in popover.inner_text()
    page.keyboard.press("Escape")
    assert popover.is_hidden()


def written(folder, records, arrays=arrays_of):
    """The address of a page of other records."""
    return write(document(Study(tuple(records), arrays, ("runs",)), figures=False), folder).as_uri()


def test_how_a_run_went_is_told_of_the_first_that_finished_which_is_named(opened, tmp_path):
    lost = failed_record("ccl", "timeout", seed=0, error=made_error(), durations={"total": 3600.0})
    kept = made_record("ccl", seed=1, warnings=["it collapsed"], durations={"fit": 7.0, "total": 9.0})
    page = opened(at=written(tmp_path, [lost, kept, made_record("cca")]))
    told = []
    for number in (
        board(page).locator("a.number[href='#dataset-1-record-1']"),
        board(page).locator("tr:last-child a"),
    ):
        number.first.hover()
        told.append(page.get_by_role("tooltip").inner_text())
    assert "Seed 1" in told[0]
    assert "fit 7.0 s" in told[0]
    assert "it collapsed" in told[0]
    assert "1 h" not in told[0]
    assert "CCA" in told[1]
    assert "One run" not in told[1]


def test_a_link_to_a_record_opens_it(opened):
    page = opened()
    number = board(page).locator("a.number").first
    number.click()
    record = page.locator(number.get_attribute("href"))
    assert record.get_attribute("open") is not None
    assert record.locator("table.runs").is_visible()


def test_a_tap_shows_the_record_and_the_second_goes_to_it(opened):
    page = opened(NARROW, has_touch=True, is_mobile=True)
    number = board(page).locator("a.number").first
    number.tap()
    assert page.get_by_role("tooltip").is_visible()
    assert "#" not in page.url
    number.tap()
    assert page.url.endswith(number.get_attribute("href"))


def test_two_methods_are_compared_with_the_queries_that_decide(opened):
    page = opened()
    duel = page.locator("#dataset-1 .duel")
    duel.get_by_label("First method").select_option(label="CCA")
    duel.get_by_label("Second method").select_option(label="JRL")
    duel.get_by_label("Number").select_option(label="image→text")
    first, second = (arrays_of(made_record(name))["ap_image_to_text"] for name in ("cca", "jrl"))
    assert f"CCA {first.mean():.3f}, JRL {second.mean():.3f}" in duel.inner_text()
    most = int(np.argmax(first - second))
    row = duel.locator("table.queries tbody tr").first.inner_text().split("\t")
    assert row[0] == f"pair {most}"
    assert row[2:4] == [f"{first[most]:.3f}", f"{second[most]:.3f}"]
    ahead = int((first > second).sum())
    assert f"{ahead} test pairs are ranked better by CCA" in duel.inner_text()


def test_a_method_that_is_ahead_nowhere_is_not_said_to_be_ahead(opened, tmp_path):
    def arrays(record):
        values = np.full(PAIRS, 0.1 if record["method"]["name"] == "majority" else 0.4)
        return arrays_of(record) | {f"ap_{task}": values for task in TASKS}

    page = opened(at=written(tmp_path, [made_record("majority", 0.1), made_record("cca", 0.4)], arrays))
    told = page.locator("#dataset-1 .duel").inner_text()
    assert "above the line CCA is ahead, by 0.300 at most; MAJORITY is ahead nowhere." in told
    page.locator("#dataset-1 .duel").get_by_label("First method").select_option(label="MAJORITY")
    page.locator("#dataset-1 .duel").get_by_label("Second method").select_option(label="CCA")
    told = page.locator("#dataset-1 .duel").inner_text()
    assert "MAJORITY is ahead nowhere; below the line CCA is ahead, by 0.300 at most." in told


def test_downloads_are_files_with_the_table(opened):
    page = opened()
    links = page.locator("#dataset-1 .downloads a")
    assert links.count() == 3
    for link in links.all():
        with page.expect_download() as waiting:
            link.click()
        name = waiting.value.suggested_filename
        text = Path(waiting.value.path()).read_text(encoding="utf-8")
        assert "CMGANS" in text
        if name.endswith(".csv"):
            assert len(list(csv.DictReader(text.splitlines()))) == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_system_and_the_button_turns_it(opened, scheme):
    page = opened(color_scheme=scheme)
    before = lightness(page)
    assert (before < 0.5) == (scheme == "dark")
    assert (glare(page) < 1) == (scheme == "dark")
    page.get_by_role("button", name="Dark").click()
    assert (lightness(page) < 0.5) == (scheme == "light")
    assert (glare(page) < 1) == (scheme == "light")
    page.emulate_media(media="print")
    assert glare(page) == 1


def glare(page):
    """Return how bright the white of figures is."""
    drawn = page.locator("figure .paper").first
    return float(drawn.evaluate("each => getComputedStyle(each).filter").split("(")[1].rstrip(")"))


def lightness(page):
    text = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return sum(float(part) for part in text.strip("rgb()").split(",")) / 3 / 255


def test_the_keyboard_alone_reaches_sorting_numbers_records_and_comparing(opened):
    page = opened()
    stops = []
    for _ in range(200):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            "(e => ({name: e.tagName, id: e.id, number: e.matches('a.number'), sorts: !!e.closest('thead'),"
            " within: (e.closest('section') || {}).id, outline: getComputedStyle(e).outlineStyle}))"
            "(document.activeElement)"
        )
        if stop["name"] == "BODY":
            break
        stops.append(stop)
    assert stops[0]["name"] == "A"
    assert all(stop["outline"] != "none" for stop in stops)
    within = [stop for stop in stops if stop["within"] == "dataset-1"]
    assert sum(stop["number"] for stop in within) == 1  # arrows go on from there
    assert any(stop["sorts"] for stop in within)
    assert sum(stop["name"] == "SELECT" for stop in within) == 3
    assert sum(stop["name"] == "SUMMARY" for stop in within) >= 5


def test_arrows_go_from_number_to_number_and_enter_opens_the_record(opened):
    page = opened()
    page.evaluate("document.querySelector('#dataset-1 a.number').focus()")
    assert page.get_by_role("tooltip").is_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    focused = page.evaluate("[document.activeElement.dataset.column, document.activeElement.hash]")
    assert focused[0] == "text_to_image"
    page.keyboard.press("Enter")
    page.wait_for_selector(
        f"{focused[1]}[open]", state="attached", timeout=5_000
    )  # after the address changed


def test_a_header_sorts_by_keyboard(opened):
    page = opened()
    header = board(page).get_by_role("columnheader", name="image→text")
    page.evaluate("document.querySelectorAll('#dataset-1 thead tr:last-child [tabindex=\"0\"]')[1].focus()")
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(opened, viewport, scheme):
    page = opened(viewport, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (each["id"], [node["html"][:120] for node in each["nodes"]][:3])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious


@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["narrow", "wide"])
def test_the_page_is_no_wider_than_the_window(opened, viewport):
    page = opened(viewport)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_without_scripts_everything_can_be_read(opened):
    page = opened(java_script_enabled=False)
    assert sorted(names(board(page))) == ["CCA", "CCL", "CMGANS", "DCCA", "JRL"]
    assert page.locator("#filters").is_hidden()
    assert page.locator("#dataset-1 .static-queries").is_visible()
    assert page.locator("#warnings table").is_visible()


def test_nothing_is_cut_on_paper_and_commands_are_unfolded(opened):
    page = opened({"width": 718, "height": 1047})  # A4 as Chromium prints it
    page.emulate_media(media="print")
    cut = page.locator(".scroll, pre").evaluate_all(
        "all => all.filter((each) => each.checkVisibility() && (each.scrollWidth > each.clientWidth + 1"
        " || getComputedStyle(each).overflow !== 'visible')).map((each) => each.outerHTML.slice(0, 90))"
    )
    assert cut == []
    commands = page.locator("details > pre").first
    playwright.expect(commands).to_be_visible()
    assert commands.evaluate("pre => pre.checkVisibility({contentVisibilityAuto: true})")
