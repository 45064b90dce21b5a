"""What routing has saved, by the receipts of real calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from house import Setup, run, serving, write

MOCKED = ("providers_mock", "policy_price", "wallet_simulated")
SOLD = {"a": 1000, "b": 2000, "c": 3000, "d": 6000}
"""sat for a million tokens of m, in or out; each call has 3 tokens of input and 7 of output"""


def row(where: str, model: str, price: int) -> str:
    rates = f'input = "{price} sat"\noutput = "{price} sat"\n'
    return f'[[plugins.providers_mock.{where}models]]\nname = "{model}"\n{rates}'


TABLES = "".join(row(f"instances.{name}.", "m", price) for name, price in SOLD.items()) + row(
    "instances.a.", "own", 500
)


@pytest.fixture
def place(tmp_path: Path) -> Setup:
    """Four sellers of one model, one of another, and a few calls of each."""
    found = write(tmp_path, TABLES, plugins=MOCKED)

    async def story() -> None:
        async with serving(found) as served:
            agent = await served.agent()
            for model, count in (("m", 4), ("own", 2)):
                for _ in range(count):
                    answer = await served.call(agent, model=model)
                    assert answer.headers["x-arbstr-provider"] == "providers_mock.a", answer.text
                    await served.ended(answer.headers["x-request-id"])
            shown = (await served.admin.get("/admin/savings", params={"baseline": "median"})).json()
            assert shown["saved_share"] == 0.6
            refused = await served.admin.get("/admin/savings", params={"baseline": "most"})
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "baseline")

    run(story())
    return found


def saved(place: Setup, baseline: str) -> dict[str, Any]:
    found: dict[str, Any] = place.json("savings", "--baseline", baseline, "--since", "1h")
    return found


def test_savings_are_those_of_the_receipts(place: Setup) -> None:
    receipts = [place.json("receipt", line[0]) for line in place.rows("SELECT id FROM hold ORDER BY seq")][:4]
    charged = sum(receipt["charged_msat"] for receipt in receipts)
    assert charged > 0
    for baseline, times in (
        ("mean", 3.0),
        ("median", 2.5),
        ("list:providers_mock.d", 6.0),
        ("list:providers_mock.a", 1),
    ):
        found = saved(place, baseline)
        assert (found["calls"], found["alone"], found["left_out"], found["charged_msat"]) == (4, 2, 0, charged)
        assert found["baseline_msat"] == pytest.approx(times * charged, rel=0.01)
        assert found["saved_msat"] == found["baseline_msat"] - charged
        assert [each["model"] for each in found["models"]] == ["m"]
        assert sum(each["calls"] for each in found["days"]) == 4
    gone = place.command("savings", "--baseline", "list:nobody")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "'nobody'" in gone.stderr
    assert all(f"list:providers_mock.{name}" in gone.stderr for name in SOLD)
    shown = place.arbstr("savings")
    assert "66.7% saved" in shown
    assert "█" * 13 + "░" * 27 in shown
    assert "2 calls that nobody else would have served" in shown
    assert "No calls" in place.arbstr("savings", "--since", "2999-01-01")
    for words in (("--since", "soon"), ("--baseline", "list:"), ("--baseline", "best")):
        assert place.command("savings", *words).returncode == 1, words
