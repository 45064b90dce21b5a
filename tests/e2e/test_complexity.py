"""`auto` through the whole house: hard prompts to the frontier though local is free, greetings to local though the
frontier is up, each with its reasons in the receipt; and what becomes of them when a tier is down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from house import Served, chat, run, serving, write

PLUGINS = ("providers_mock", "policy_price", "policy_keywords", "policy_complexity", "wallet_simulated")
GREETING = "Hi! How are you today?"
HARD = (
    "Design a scheduler for 400 machines that starves nobody, prove that it does not, analyse its worst case and "
    "compare two alternatives with their trade-offs."
)
PRICES = {"local": "free = true", "standard": 'input = "1 sat"\noutput = "2 sat"', "frontier": "free = true"}


def models(**more: str) -> str:
    """A provider for each tier: `providers_mock.local` sells the models `m-local` and `same`, and so on. That of the
    frontier is free as well, so that price alone would never tell."""
    rows = []
    for tier, price in PRICES.items():
        head = f"plugins.providers_mock.instances.{tier}.models"
        for name in (f"m-{tier}", "same"):
            rows.append(f'[[{head}]]\nname = "{name}"\ntier = "{tier}"\n{price}\n{more.get(tier, "")}\n')
    return "\n".join(rows) + '\n[[plugins.providers_mock.models]]\nname = "unrelated"\nfree = true\n'


BREAKER = "[dispatch.breaker]\nfailures = 1\nopen_seconds = 600\n"
ALIAS = '[market.aliases]\nauto = ["m-local", "m-standard", "m-frontier"]\n'


async def asked(
    served: Served, agent: dict[str, Any], text: str, model: str = "auto", *, stream: bool = False, **headers: str
) -> httpx.Response:
    hints = {f"x-arbstr-{name}": value for name, value in headers.items()}
    return await served.http.post(
        "/v1/chat/completions",
        json=chat(model, text, stream=stream),
        headers={"authorization": f"Bearer {agent['token']}", **hints},
    )


async def receipt_of(served: Served, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return await served.ended(answer.headers["x-request-id"])


@pytest.mark.parametrize("stream", [False, True])
def test_the_prompt_decides_the_tier_and_the_receipt_says_why(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        async with serving(write(tmp_path, models() + ALIAS, plugins=PLUGINS)) as served:
            agent = await served.agent()
            hard = await asked(served, agent, HARD, stream=stream)
            assert hard.headers["x-arbstr-tier"] == "frontier"
            assert hard.headers["x-arbstr-model"] == "m-frontier"
            receipt = await receipt_of(served, hard)
            assert (receipt["model"], receipt["upstream"], receipt["tier"]) == ("auto", "m-frontier", "frontier")
            (why,) = [reason for reason in receipt["reasons"] if reason.startswith("complexity")]
            assert "is frontier: 0.37" in why
            assert "reasoning +0.51" in why
            notes = receipt["notes"]["policy_complexity"]
            assert (notes["by"], notes["tier"]) == ("prompt", "frontier")
            assert notes["score"] >= 0.7
            assert notes["parts"]["reasoning"] == 0.51
            assert {(row["provider"], row["reason"]) for row in receipt["out"]} == {
                ("providers_mock.local", "its tier local is not the one demanded"),
                ("providers_mock.standard", "its tier standard is not the one demanded"),
            }
            easy = await receipt_of(served, await asked(served, agent, GREETING, stream=stream))
            assert (easy["provider"], easy["tier"]) == ("providers_mock.local", "local")
            assert easy["notes"]["policy_complexity"]["score"] < 0.35
            assert any(reason.startswith("complexity 0.18 is local") for reason in easy["reasons"])
            assert easy["reasons"][-1].endswith("of tier standard, stands in where that fails")

    run(story())


def test_a_model_that_is_named_is_respected_and_the_header_asked(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(write(tmp_path, models() + ALIAS, plugins=PLUGINS)) as served:
            agent = await served.agent()

            async def served_by(text: str, model: str, **headers: str) -> tuple[str, dict[str, Any] | None]:
                receipt = await receipt_of(served, await asked(served, agent, text, model, **headers))
                return receipt["provider"].removeprefix("providers_mock."), receipt.get("notes")

            assert await served_by(HARD, "m-local") == ("local", None)
            assert await served_by(GREETING, "auto:frontier") == ("frontier", None)
            by_header = {"policy_complexity": {"by": "header", "tier": "standard"}}
            assert await served_by(HARD, "auto", complexity="medium") == ("standard", by_header)
            for word, tier in (("low", "local"), ("medium", "standard"), ("high", "frontier")):
                assert (await served_by(GREETING, "same", complexity=word))[0] == tier
            assert (await served_by(HARD, "m-local", complexity="high"))[0] == "local"
            assert (await served_by(HARD, "auto", complexity="utmost"))[0] == "frontier"

    run(story())


def test_a_tier_that_fails_is_left_for_the_next_and_a_floor_is_kept(tmp_path: Path) -> None:
    down = {"local": 'script = ["connect_fail"]', "frontier": 'script = ["ok", "status:500"]'}

    async def story() -> None:
        async with serving(write(tmp_path, models(**down) + ALIAS + BREAKER, plugins=PLUGINS)) as served:
            agent = await served.agent()
            first = await receipt_of(served, await asked(served, agent, GREETING))
            assert [each["provider"] for each in first["attempts"]] == [
                "providers_mock.local",
                "providers_mock.standard",
            ]
            second = await receipt_of(served, await asked(served, agent, GREETING))
            assert [each["provider"] for each in second["attempts"]] == ["providers_mock.standard"]
            assert "no offer of tier local is left: escalated to standard" in second["reasons"]
            assert (await asked(served, agent, HARD)).status_code == 200
            assert (await asked(served, agent, HARD)).status_code == 502
            refused = await asked(served, agent, HARD)
            assert refused.status_code == 503, refused.text
            assert "open circuits" in refused.json()["error"]["message"]
            assert int(refused.headers["retry-after"]) > 60

    run(story())


def test_what_no_tier_sells_is_served_by_the_best_there_is(tmp_path: Path) -> None:
    only = '[[plugins.providers_mock.models]]\nname = "small"\ntier = "local"\nfree = true\n'

    async def story() -> None:
        async with serving(write(tmp_path, only, plugins=PLUGINS)) as served:
            receipt = await receipt_of(served, await asked(served, await served.agent(), HARD))
            assert receipt["tier"] == "local"
            assert any(reason.endswith("nothing of it or above is on sale, so local") for reason in receipt["reasons"])

    run(story())
