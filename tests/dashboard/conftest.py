"""An arbstr with the dashboard, in front of a scripted upstream, and a real browser that looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from chromium import chromium
from house import PLUGINS, PRICED, instance, process, write
from looking import SECONDS, House, Open
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from upstream import Upstream


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with Upstream() as upstream, ThreadPoolExecutor(8) as calls:
        models = f"[models.m]\n{PRICED}\n[models.gated]\n{PRICED}\n[models.bad]\n{PRICED}\n"
        dearer = PRICED.replace("1000", "1500")
        tables = instance("x", upstream.url, models) + instance("y", upstream.url, f"[models.m]\n{dearer}")
        setup = write(tmp_path_factory.mktemp("dashboard"), tables, plugins=(*PLUGINS, "dashboard"))
        with (
            process(setup),
            httpx.Client(base_url=setup.url, headers=setup.operator(), trust_env=False, timeout=60) as admin,
        ):
            yield House(setup, upstream, admin, calls)
            upstream.open_gate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    assert program, "there is no Chromium here: `make clients` says what to do"
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program)
        yield opened
        opened.close()


@pytest.fixture
def look(browser: Browser, house: House) -> Iterator[Open]:
    """Opens the dashboard, logged in unless told otherwise. Nothing may go wrong in it, and nothing may be asked of
    another host, or be kept from doing so by the policy."""
    with _watched(browser, house) as opened:
        yield opened


@contextmanager
def _watched(browser: Browser, house: House) -> Iterator[Open]:
    wrong: list[str] = []
    contexts = []

    def heard(message: ConsoleMessage) -> None:
        # An answer that is an error is told on the console, too; what the page made of it is seen.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            wrong.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith((f"{house.setup.url}/dashboard/", f"{house.setup.url}/admin/", "data:")):
            wrong.append(f"asked for {request.url}")

    def look(page: str = "", *, log_in: bool = True, **how: Any) -> Page:
        context = browser.new_context(**how)
        context.set_default_timeout(SECONDS * 1000)
        contexts.append(context)
        opened = context.new_page()
        opened.on("console", heard)
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on("request", asked)
        opened.on("dialog", lambda dialog: wrong.append(f"said {dialog.message}"))
        opened.goto(f"{house.url}#/{page}")
        if log_in:
            opened.get_by_label("Operator’s token").fill(house.setup.token())
            opened.keyboard.press("Enter")
            expect(opened.get_by_role("heading", level=1)).not_to_have_text("arbstr")
        return opened

    yield look
    for context in contexts:
        context.close()
    assert wrong == []
