"""What the tests of the dashboard share: the arbstr that is looked at, and how a page is opened."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
from house import Setup, chat
from playwright.sync_api import Locator, Page
from upstream import Upstream

SECONDS = 60
"""how long anything may take to be seen"""


@dataclass
class House:
    """The running arbstr, and what is behind it."""

    setup: Setup
    upstream: Upstream
    admin: httpx.Client
    calls: ThreadPoolExecutor

    @property
    def url(self) -> str:
        return f"{self.setup.url}/dashboard/"

    def got(self, path: str, **params: Any) -> Any:
        """What the operator's API answers."""
        return self.admin.get(f"/admin/{path}", params=params).raise_for_status().json()

    def agent(self, name: str, **more: Any) -> dict[str, Any]:
        """A new agent with wide limits."""
        new = {"name": name, "fund_msat": 10**9, "max_charge_msat": 10**8, "daily_msat": 10**9, **more}
        made: dict[str, Any] = self.admin.post("/admin/agents", json=new).raise_for_status().json()
        return made

    def call(self, token: str, model: str, *, prefer: str = "", **fields: Any) -> Future[httpx.Response]:
        """A call that goes on meanwhile."""
        headers = {"authorization": f"Bearer {token}", "prefer": prefer}
        return self.calls.submit(
            httpx.post,
            f"{self.setup.url}/v1/chat/completions",
            json=chat(model, **fields),
            headers=headers,
            timeout=SECONDS * 2,
            trust_env=False,
        )


Open = Callable[..., Page]
"""Opens a page of the dashboard, by its path; further words are the browser's, as `color_scheme`"""


def row(page: Page, table: str, words: str) -> Locator:
    """The row of a table that has these words."""
    return page.get_by_role("table", name=table).get_by_role("row").filter(has_text=words)
