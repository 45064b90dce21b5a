"""How the dashboard looks, and to whom: axe-core, a phone, dark, a keyboard alone, and names that mean harm."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from driving import MADE, make_clients
from looking import House, Open, row
from playwright.sync_api import Page, expect
from upstream import Act

SITE = Path(__file__).parents[2] / "plugins" / "dashboard" / "arbstr_dashboard" / "site"
PAGES = ("", "spend", "calls", "approvals", "agents", "market", "money", "audit", "house")
PHONE = {"width": 360, "height": 740}
HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}<svg onload=alert(2)>"
MODEL = f"{HOSTILE}</script><script>alert(3)</script>"
STRANGE = "document.querySelectorAll('img:not([src=\"mark.svg\"]), main script, [onerror], [onload], iframe').length"


@pytest.fixture(scope="module")
def npm() -> Path:
    """What was taken from npm."""
    make_clients()
    return MADE / "node" / "node_modules"


@pytest.fixture(scope="module")
def lived_in(house: House) -> House:
    """With something on each page, of names that mean harm, and a call that waits."""
    house.upstream.script("bad", Act(how="status", status=503, body=MODEL.encode()))
    agent = house.agent(HOSTILE)
    for model in ("m", "m", "bad", MODEL):
        house.call(agent["token"], model)
    for _ in range(4):
        house.call(agent["token"], "bad").result()
    asking = house.agent(f"{HOSTILE} asks", max_charge_msat=1, approval_seconds=600, models=["m", MODEL])
    house.call(asking["token"], "m", max_tokens=50)
    house.agent(f"{HOSTILE} child", parent=agent["id"], fund_msat=0)
    return house


def go(page: Page, name: str) -> None:
    """Go to a page, and wait until it has asked for all that it shows."""
    there = page.evaluate("hash => { location.hash = hash; return location.hash; }", f"#/{name}")
    # Not by a condition in JavaScript: to look at that again is `eval`, which the page's policy forbids.
    expect(page.locator("main")).to_have_attribute("data-at", there)
    expect(page.locator("main [aria-busy='true']")).to_have_count(0)


def settled(page: Page, name: str) -> None:
    """Go to a page, and wait until all of it is drawn."""
    go(page, name)
    expect(page.locator("main .card, main .figures").first).to_be_visible()


def violations(page: Page, *rules: str) -> list[Any]:
    """What axe-core finds serious, or worse; by all its rules, or those that are named."""
    how = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = page.evaluate("async how => (await axe.run(document, how)).violations", how)
    return [
        (each["id"], each["help"], [node["html"][:200] for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def with_axe(page: Page, npm: Path) -> Page:
    """The policy of the page lets no script in but its own; the browser's own tools are above it."""
    page.evaluate((npm / "axe-core" / "axe.min.js").read_text())
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(lived_in: House, look: Open, npm: Path, scheme: str) -> None:
    rules = ("color-contrast",) if scheme == "dark" else ()  # all else is the same
    page = look(log_in=False, color_scheme=scheme)
    assert violations(with_axe(page, npm), *rules) == []
    page.get_by_label("Operator’s token").fill(lived_in.setup.token())
    page.keyboard.press("Enter")
    receipt = lived_in.got("receipts", kind="call")["data"][0]["id"]
    agent = lived_in.got("agents")["data"][0]["id"]
    found = {}
    for name in (*PAGES, f"calls/{receipt}", f"agents/{agent}"):
        settled(page, name)
        found[name] = violations(page, *rules)
    page.get_by_role("button", name="Change limits").click()
    found["dialog"] = violations(page, *rules)
    assert {name: each for name, each in found.items() if each} == {}


def test_a_phone_has_all_of_it(lived_in: House, look: Open, npm: Path) -> None:
    page = with_axe(look(viewport=PHONE, has_touch=True, is_mobile=True), npm)
    menu = page.get_by_role("button", name="Menu")
    expect(page.get_by_role("navigation")).to_be_hidden()
    menu.tap()
    page.get_by_role("link", name="Spending").tap()
    expect(page.get_by_role("heading", level=1)).to_have_text("Spending")
    expect(page.get_by_role("navigation")).to_be_hidden()
    receipt = lived_in.got("receipts", kind="call")["data"][0]["id"]
    agent = lived_in.got("agents")["data"][0]["id"]
    wide = {}
    for name in (*PAGES, f"calls/{receipt}", f"agents/{agent}"):
        settled(page, name)
        wide[name] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert {name: by for name, by in wide.items() if by > 0} == {}
    page.get_by_role("button", name="Change limits").tap()
    expect(page.get_by_role("dialog").get_by_label("Daily limit (sat)")).to_be_in_viewport()
    assert violations(page) == []


def test_dark_is_dark_and_may_be_chosen(house: House, look: Open) -> None:
    def ground(page: Page) -> int:
        return sum(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]))

    assert ground(look("house", color_scheme="dark")) < 100
    page = look("house", color_scheme="light")
    assert ground(page) > 650
    theme = page.get_by_role("button", name="colours; change")
    theme.click()
    expect(theme).to_contain_text("Light")
    theme.click()
    assert ground(page) < 100
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("House")
    assert ground(page) < 100


def test_a_keyboard_is_enough(house: House, look: Open) -> None:
    """From the token to an agent's limits and a grant, without a pointer; what has the focus is seen."""
    page = look(log_in=False)
    keys = page.keyboard

    def reach(role: Any, name: str | re.Pattern[str]) -> None:
        wanted = page.get_by_role(role, name=name).first
        for _ in range(80):
            if wanted.evaluate("each => each === document.activeElement"):
                style = "getComputedStyle(document.activeElement)"
                assert page.evaluate(f"{style}.outlineStyle !== 'none' && parseFloat({style}.outlineWidth) >= 2"), name
                return
            keys.press("Tab")
        raise AssertionError(f"Tab does not lead to {name}")

    expect(page.get_by_label("Operator’s token")).to_be_focused()
    keys.type(house.setup.token())
    keys.press("Enter")
    reach("link", "Skip to the page")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    reach("link", "Agents")
    keys.press("Enter")
    reach("button", "New agent")
    keys.press("Enter")
    keys.type("typed")
    keys.press("Tab")
    keys.type("20")
    keys.press("Tab")
    keys.type("0.001")
    keys.press("Enter")
    expect(page.get_by_role("button", name="Done")).to_be_focused()
    token = page.locator(".token code").inner_text()
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="New agent")).to_be_focused()
    reach("link", "typed")
    keys.press("Enter")
    reach("button", "Change limits")
    keys.press("Enter")
    for _ in range(2):
        keys.press("Tab")
    keys.press("Enter")  # More limits
    for _ in range(5):
        keys.press("Tab")
    keys.type("300")
    keys.press("Enter")
    expect(page.get_by_role("status")).to_have_text("typed has new limits")
    assert house.got("agents/typed")["limits"]["approval_seconds"] == 300
    calling = house.call(token, "m", prefer="wait=60", max_tokens=20)
    reach("link", re.compile(r"Approvals \d+ pending"))
    keys.press("Enter")
    reach("button", "Grant to typed")
    keys.press("Enter")
    assert calling.result().status_code == 200


def test_names_that_mean_harm_are_only_names(lived_in: House, look: Open) -> None:
    page = look()
    agents = [each["id"] for each in lived_in.got("agents")["data"] if HOSTILE in each["name"]]
    receipts = [each["id"] for each in lived_in.got("receipts")["data"][:2]]
    places = [*PAGES, *(f"agents/{each}" for each in agents), *(f"calls/{each}" for each in receipts)]
    for name in (*places, f"calls/{quote(MODEL, safe='')}", f"{quote(MODEL, safe='')}/%ff"):
        go(page, name)
        assert page.evaluate(STRANGE) == 0, name
    settled(page, "agents")
    expect(page.get_by_role("link", name=HOSTILE, exact=True)).to_be_visible()
    settled(page, "approvals")
    expect(page.get_by_role("button", name=f"Grant to {HOSTILE} asks")).to_be_visible()
    settled(page, "spend")
    expect(row(page, "Spending by model", MODEL)).to_be_visible()
    page.get_by_role("button", name="Agent", exact=True).click()
    expect(row(page, "Spending by agent", HOSTILE).first).to_be_visible()


def test_the_site_can_make_no_markup_and_is_its_own(house: House) -> None:
    """No way from text to markup in our own files, and every file is one of the package's."""
    ways = r"(inner|outer)HTML|AdjacentHTML|setHTML|document\.write|DOMParser|\beval\b|new Function|ContextualFragment"
    for path in SITE.rglob("*.js"):
        if "vendor" not in path.parts:
            assert not re.search(ways, path.read_text()), path
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", path.read_text()), path
    page = (SITE / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=\"js/)|<style|\bstyle=|\bon\w+=|https?:", page)
    for asked in re.findall(r'(?:src|href)="([^"#]+)"', page):
        answer = httpx.get(house.url + asked, trust_env=False, timeout=60)
        assert (answer.status_code, answer.content) == (200, (SITE / asked).read_bytes())
        assert "unsafe" not in answer.headers["content-security-policy"]


def test_what_is_vendored_is_as_it_was_published(npm: Path) -> None:
    kept = SITE / "vendor" / "uplot"
    published = npm / "uplot"
    for name, source in (("uPlot.esm.js", "dist"), ("uPlot.min.css", "dist"), ("LICENSE.txt", ".")):
        ours, theirs = kept / name, published / source / name.removesuffix(".txt")
        assert hashlib.sha256(ours.read_bytes()).digest() == hashlib.sha256(theirs.read_bytes()).digest(), name
    assert {path.name for path in (SITE / "vendor").rglob("*") if path.is_file()} == {
        "uPlot.esm.js",
        "uPlot.min.css",
        "LICENSE.txt",
    }
