"""`make screenshots`: the pictures of docs/dashboard.md, of a house full of life, by a real browser.

The letters are those of this machine: with the typeface Inter installed (Debian: fonts-inter) they look as in the tree.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from chromium import chromium  # noqa: E402
from fleet import Fleet, busy, fleet  # noqa: E402
from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402

PICTURES = ROOT / "docs" / "dashboard"
WIDE = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}


def main() -> int:
    """Take them all; 1 where there is no browser."""
    program = chromium()
    if program is None:
        print("there is no Chromium here: install it (Debian: apt-get install chromium)", file=sys.stderr)
        return 1
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        fleet(Path(folder)) as house,
        sync_playwright() as playwright,
        busy(house),
    ):
        browser = playwright.chromium.launch(executable_path=program)
        _take_all(browser, house)
        browser.close()
    return 0


def _take_all(browser: Browser, house: Fleet) -> None:
    light = _logged_in(browser, house, color_scheme="light", viewport=WIDE)
    dark = _logged_in(browser, house, color_scheme="dark", viewport=WIDE)
    phone = _logged_in(browser, house, color_scheme="dark", viewport=PHONE, is_mobile=True, has_touch=True)
    _take(light, "", "overview")
    calls = house.admin.get("/admin/receipts", params={"kind": "call", "model": "llama-3.3-70b"}).json()["data"]
    told = [house.admin.get(f"/admin/receipts/{each['id']}").json() for each in calls if each["state"] == "settled"]
    receipt = max(told, key=lambda each: len(each["attempts"]))["id"]
    _take(light, f"calls/{receipt}", "receipt")
    _take(light, f"agents/{house.agents['researcher']['id']}", "agent")
    _take(dark, "spend", "spending", pressed="7 days")
    _take(dark, "market", "market")
    _take(light, "money", "money")
    _take(phone, "", "phone")


def _logged_in(browser: Browser, house: Fleet, **how: object) -> Page:
    page = browser.new_context(**how).new_page()  # type: ignore[arg-type]
    page.goto(f"{house.setup.url}/dashboard/")
    page.get_by_label("Operator’s token").fill(house.setup.token())
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    return page


def _take(page: Page, where: str, name: str, *, pressed: str | None = None) -> None:
    page.goto(f"{page.url.partition('#')[0]}#/{where}")
    expect(page.locator("main")).to_have_attribute("data-at", f"#/{where}")
    expect(page.locator("main [aria-busy='true']")).to_have_count(0)
    if pressed is not None:
        page.get_by_role("button", name=pressed).click()
        expect(page.get_by_role("img", name="in the last 7 days")).to_be_visible()
    page.mouse.move(0, 0)
    page.wait_for_timeout(600)  # what moves has come to rest, in a picture
    page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
