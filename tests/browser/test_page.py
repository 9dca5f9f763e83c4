"""The node's own page in a real browser: every dashboard draws, on a desk and on a phone, dark and light."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Iterator

import httpx
import matplotlib.image
import numpy as np
import pytest

from chctl.clickhouse import connect
from chctl.dashboards.model import load_all
from chctl.node.page import HEADERS, PATH
from chctl.settings import PROJECT_DIR, Settings
from tests.browser.chromium import BINARY, Browser, Page, browser
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.skipif(not BINARY, reason="no Chromium: apt-get install chromium-headless-shell"),
    pytest.mark.timeout(300),  # the first test waits for the node to be filled
]

DASHBOARDS = load_all(PROJECT_DIR / "dashboards")
PANELS = {one.uid: {panel.id: panel for panel in one.panels} for one in DASHBOARDS}
DESKTOP, PHONE = (1400, 4000), (390, 8000)  # as high as it gets: a panel that is out of sight is not asked for
BOOK = "var-venue=simulated&var-symbol=SIMBTC"
VISITS = itertools.count()
SETTLED = "[...document.querySelectorAll('.panel')].every((panel) => panel.dataset.rows)"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(chromium: Browser, watched_node: Settings) -> Iterator[Page]:
    opened = chromium.open(f"{watched_node.clickhouse_url}{PATH}")
    opened.run(
        "window.refused = []; addEventListener('securitypolicyviolation', (e) => refused.push(e.violatedDirective))"
    )
    yield opened
    opened.close()


def show(
    page: Page, uid: str, query: str = "from=now-1h", size: tuple[int, int] = DESKTOP, theme: str = "light"
) -> None:
    """Go to a dashboard and wait for every panel's answer."""
    width, height = size
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    page.run("document.querySelectorAll('.panel').forEach((panel) => delete panel.dataset.rows)")
    page.run(f"location.hash = '#/d/{uid}?refresh=0&{query}&visit={next(VISITS)}'")  # always another address
    title = next(one.title for one in DASHBOARDS if one.uid == uid)
    wait_for(lambda: page.run("document.getElementById('title').textContent") == title, what=title)
    wait_for(lambda: page.run(SETTLED), seconds=60, what=f"the answers of {uid}")


def picture(page: Page) -> np.ndarray:
    """What is on the screen: height, width, RGB in [0, 1]."""
    png = base64.b64decode(page.call("Page.captureScreenshot", format="png")["data"])
    return matplotlib.image.imread(io.BytesIO(png))[:, :, :3]


@pytest.mark.parametrize("uid", PANELS)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_panel_of_a_dashboard_draws(page: Page, watched_node: Settings, uid: str, size: tuple[int, int]) -> None:
    with connect(watched_node) as client:
        last = client.query("SELECT toUnixTimestamp(max(last_second)) FROM dash_books").result_rows[0][0]
    book = f"from={(last - 600) * 1000}&to={(last + 1) * 1000}&{BOOK}"  # the ladder is of the range's end
    show(page, uid, book if uid == "liquidity" else "from=now-1h", size)
    rows = page.run("Object.fromEntries([...document.querySelectorAll('.panel')].map((p) => [p.id, p.dataset.rows]))")
    assert rows.keys() == PANELS[uid].keys()
    empty = {name for name, count in rows.items() if not count.isdigit() or int(count) == 0}
    assert [name for name in empty if not PANELS[uid][name].may_be_empty] == [], rows
    drawn = page.run(
        "[...document.querySelectorAll('.chart canvas')].filter((c) => c.width > 100 && c.height > 60).length"
    )
    assert drawn == len(
        [p for p in PANELS[uid].values() if p.kind in ("lines", "bars", "heatmap") and p.id not in empty]
    )
    assert page.run("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the screen"
    assert page.run("refused") == []
    assert page.run("document.getElementById('trouble').hidden")


def test_it_is_dark_where_the_reader_wants_it_dark_and_light_else(page: Page) -> None:
    brightness = {}
    for theme in ("light", "dark"):
        show(page, "liquidity", f"from=now-1h&{BOOK}", DESKTOP, theme)
        brightness[theme] = float(picture(page).mean())
    assert brightness["light"] > 0.8
    assert brightness["dark"] < 0.3


def test_the_heat_map_has_cells_of_many_shades(page: Page) -> None:
    show(page, "liquidity", f"from=now-1h&{BOOK}")
    colours = page.run(
        "(() => { const c = document.querySelector('#depth_map canvas'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; const found = new Set();"
        "for (let i = 0; i < d.length; i += 4)"
        " found.add(d[i + 3] && d[i + 2] > d[i] + 20 ? d.slice(i, i + 4).join() : '');"
        "return found.size })()"
    )
    assert colours > 20


def test_a_variable_is_chosen_and_stands_in_the_address(page: Page) -> None:
    show(page, "liquidity", f"from=now-1h&{BOOK}")
    before = page.run("document.querySelector('#mid .figure').textContent")
    page.run(
        "(() => {const s = document.getElementById('var-symbol');"
        " s.value = 'SIMETH'; s.dispatchEvent(new Event('change'))})()"
    )
    wait_for(lambda: page.run("document.querySelector('#mid .figure').textContent") != before, what="the other book")
    assert "var-symbol=SIMETH" in page.run("location.hash")
    assert "var-venue=simulated" in page.run("location.hash")


def test_a_link_of_an_alert_opens_what_it_is_about(page: Page, watched_node: Settings) -> None:
    with connect(watched_node) as client:
        account = client.query("SELECT max(user_id) FROM dash_orders_1m").result_rows[0][0]
    show(page, "orders", f"from=now-1h&var-entity=user%3A{account}%40sim%3ABTCUSDT")
    assert page.run("document.getElementById('var-account').value") == str(account)
    assert page.run("[...document.querySelectorAll('#top_accounts tbody a')].map((a) => a.textContent)") == [
        str(account)
    ]


def test_the_alerts_table_says_how_bad_in_words_and_sorts(page: Page) -> None:
    show(page, "alerts", "from=now-6h")
    words = page.run(
        "[...document.querySelectorAll('#open_alerts tbody tr td:first-child')].map((td) => td.textContent)"
    )
    assert set(words) <= {"critical", "warning", "info"}
    assert words == sorted(words, key=["critical", "warning", "info"].index)
    page.click("#rules thead th:nth-child(1) button")
    rules = page.run("[...document.querySelectorAll('#rules tbody td:first-child')].map((td) => td.textContent)")
    assert rules == sorted(rules)
    assert page.run("document.querySelector('#rules th').getAttribute('aria-sort')") == "ascending"


@pytest.mark.parametrize("hostile", ["<img src=x onerror=alert(1)>", "\\' OR 1=1 --", "a\tb\\N"])
def test_what_stands_in_the_address_is_a_value_and_nothing_else(page: Page, hostile: str) -> None:
    page.run(f"location.hash = '#/d/orders?refresh=0&from=now-1h&var-account=' + encodeURIComponent({hostile!r})")
    wait_for(lambda: page.run("document.getElementById('title').textContent") == "Orders and surveillance", what="page")
    wait_for(
        lambda: page.run("document.querySelector('#active_accounts .figure')?.textContent") == "0", what="no account"
    )
    assert page.run("document.querySelectorAll('main img').length") == 0
    assert page.run("document.querySelectorAll('.failed').length") == 0


def test_a_node_that_went_away_is_told(page: Page) -> None:
    show(page, "alerts", "from=now-6h")
    page.call("Network.enable")
    page.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    page.click("#bar button")
    wait_for(
        lambda: "does not answer" in page.run("document.getElementById('trouble').textContent"), what="the trouble"
    )
    page.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    page.click("#bar button")
    wait_for(lambda: page.run("document.getElementById('trouble').hidden"), what="the end of the trouble")


def test_files_are_served_with_a_policy_and_no_others(watched_node: Settings) -> None:
    url = watched_node.clickhouse_url
    answer = httpx.get(f"{url}{PATH}")
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert httpx.get(f"{url}/dash").headers["location"] == PATH
    for name in ("vendor/update", "../node/page.py", "%2e%2e/settings.py", "nothing.js"):
        assert httpx.get(f"{url}{PATH}{name}").status_code == 404
    assert httpx.get(f"{url}{PATH}", headers={"Host": "elsewhere.example"}).status_code == 400
