"""A house full of life for the dashboard's pictures: sellers, agents, and what they have called.

The calls are real; the figures of past days are put into the request log, which is no ledger.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
from house import Setup, chat, process, write

PLUGINS = ("providers_mock", "policy_price", "wallet_simulated", "dashboard")
SELLERS: dict[str, dict[str, tuple[int, int]]] = {
    "polder": {"llama-3.3-70b": (410, 560), "qwen3-32b": (290, 590), "gpt-oss-120b": (150, 600)},
    "fjord": {"llama-3.3-70b": (380, 520), "deepseek-v3.2": (270, 410), "gpt-oss-120b": (90, 450)},
    "tundra": {"llama-3.3-70b": (880, 990), "qwen3-32b": (240, 440), "claude-sonnet-4.5": (3100, 15200)},
    "delta": {"deepseek-v3.2": (430, 720), "claude-sonnet-4.5": (2700, 11900), "gpt-oss-120b": (190, 720)},
}
"""sat for a million tokens of input and output"""
AGENTS = {"researcher": 60_000, "code-review": 25_000, "support-desk": 12_000, "night-batch": 4_000}
_REPLY = "The cheapest qualified provider answers, and what it cost is settled to the millisatoshi. " * 12


@dataclass(frozen=True)
class Fleet:
    """The running house."""

    setup: Setup
    admin: httpx.Client
    agents: dict[str, dict[str, Any]]

    def call(self, name: str, model: str, *, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        """One call of an agent."""
        known = {"authorization": f"Bearer {self.agents[name]['token']}", **(headers or {})}
        body = chat(model, "Compare these offers and tell me which is the cheapest. " * 20, **fields)
        return httpx.post(
            f"{self.setup.url}/v1/chat/completions", json=body, headers=known, timeout=120, trust_env=False
        )


def tables() -> str:
    """The sellers as rows of configuration; one of them fails."""
    rows = [f'[plugins.providers_mock]\nreply = "{_REPLY}"\n']
    for seller, models in SELLERS.items():
        head = f"plugins.providers_mock.instances.{seller}"
        rows.append(f'[{head}]\nreply = "{_REPLY}"\nlatency_ms = 40\nchunk_ms = 25')
        for model, (given, made) in models.items():
            script = 'script = ["status:503"]' if (seller, model) == ("fjord", "llama-3.3-70b") else ""
            tier = "frontier" if "claude" in model else "standard"
            rates = f'input = "{given} sat"\noutput = "{made} sat"\ntier = "{tier}"'
            rows.append(f'[[{head}.models]]\nname = "{model}"\n{rates}\n{script}')
    return "\n".join(rows)


@contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    """Serve it, with some calls made and a past made up."""
    setup = write(folder, tables() + '\n[routing]\nstrategy = "cheapest"\n', plugins=PLUGINS)
    with ExitStack() as stack:
        stack.enter_context(process(setup))
        admin = stack.enter_context(
            httpx.Client(base_url=setup.url, headers=setup.operator(), trust_env=False, timeout=60)
        )
        made = {}
        for name, sats in AGENTS.items():
            new = {"name": name, "fund_msat": sats * 1000, "max_charge_msat": 500_000, "daily_msat": 5_000_000}
            made[name] = admin.post("/admin/agents", json=new).raise_for_status().json()
        made["careful"] = admin.post(
            "/admin/agents",
            json={"name": "procurement", "fund_msat": 9_000_000, "max_charge_msat": 900, "daily_msat": 2_000_000,
                  "approval_seconds": 600},
        ).raise_for_status().json()  # fmt: skip
        found = Fleet(setup, admin, made)
        dice = random.Random(7)
        models = sorted({model for sold in SELLERS.values() for model in sold})
        for _ in range(40):
            found.call(
                dice.choice(list(AGENTS)), dice.choice(models), max_tokens=dice.randrange(20, 160)
            ).raise_for_status()
        time.sleep(1)  # the request log is written
        _make_a_past(setup, made, models, dice)
        yield found


def _make_a_past(setup: Setup, agents: dict[str, dict[str, Any]], models: list[str], dice: random.Random) -> None:
    now = int(time.time() * 1000)
    prices = {model: max(s[model][1] for s in SELLERS.values() if model in s) for model in models}
    rows = []
    for hour in range(1, 24 * 30):
        at = now - hour * 3_600_000 - dice.randrange(3_000_000)
        busy = 3 + 5 * (8 <= (at // 3_600_000) % 24 <= 19)
        for _ in range(dice.randrange(busy + 1)):
            name, model = dice.choice(list(AGENTS)), dice.choices(models, [2, 5, 4, 6, 5][: len(models)])[0]
            seller = dice.choice([s for s, sold in SELLERS.items() if model in sold])
            given, made = dice.randrange(200, 6000), dice.randrange(50, 1500)
            good = dice.random() > 0.03
            charged = (given + made * 3) * prices[model] // 3000 if good else 0
            first = dice.randrange(180, 900)
            rows.append(
                (f"req_{at:012x}{dice.getrandbits(64):016x}", at, agents[name]["id"], model, f"providers_mock.{seller}",
                 200 if good else 503, "complete" if good else "ProvidersUnavailable", charged, first + made * 12,
                 "standard", 1, given, made, first)
            )  # fmt: skip
    with closing(sqlite3.connect(setup.database, timeout=30)) as connection, connection:
        marks = ", ".join("?" * 14)
        connection.executemany(f"INSERT INTO request_log VALUES ({marks})", rows)


@contextmanager
def busy(fleet: Fleet) -> Iterator[None]:
    """Some calls that go on, and one that waits for an operator."""
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("researcher", "claude-sonnet-4.5", {"stream": True, "max_tokens": 400}),
        ("code-review", "deepseek-v3.2", {"stream": True, "max_tokens": 400}),
        ("support-desk", "qwen3-32b", {"stream": True, "max_tokens": 400}),
        ("careful", "claude-sonnet-4.5", {"headers": {"prefer": "wait=60"}, "max_tokens": 300}),
    ]
    threads = [Thread(target=fleet.call, args=(name, model), kwargs=more, daemon=True) for name, model, more in ways]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(fleet.admin.get("/admin/live").json()["calls"]) < len(ways) and time.monotonic() < deadline:
        time.sleep(0.05)
    yield
