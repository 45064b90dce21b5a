"""A provider that bills more than it may: the agent does not pay it, the call is blamed first, then the provider."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from exchanges import PRICE, Bench, Plugin, bench

from arbstr_core.api import PASS, Offer, Outbound, Reply
from arbstr_core.dispatch import DispatchRules
from arbstr_core.testing import a_call, a_caller, an_offer
from arbstr_core.types import ProvidersUnavailable
from arbstr_core.vault import Limits, NewAgent

ODD = {"plugins": [{"id": "web"}]}
AGENTS = ("ag_a", "ag_b")


class TakesPlugins(Plugin):
    async def offers(self) -> list[Offer]:
        return [an_offer(price=PRICE, fields={"plugins": PASS}, context_window=5000)]


async def bills_too_much(call: Outbound) -> Reply:
    usage = {"prompt_tokens": 10, "completion_tokens": 5000}
    choice = {"message": {"content": "hi"}, "finish_reason": "stop"}
    return Reply.of_json(msgspec.json.encode({"choices": [choice], "usage": usage}))


async def called(made: Bench, id: str, agent: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The receipt of a call."""
    call = msgspec.structs.replace(a_call(output_limit=100, fields=fields), id=id)
    exchange = made.flow.begin(call, a_caller(agent=agent, name=agent))
    try:
        await exchange.open()
        await exchange.body()
    finally:
        await exchange.close()
    ((charged, body),) = made.rows(
        "SELECT t.amount_msat, r.body FROM hold h JOIN transfer t ON t.hold_seq = h.seq "
        f"JOIN receipt r ON r.hold_seq = h.seq WHERE h.id = '{id}'"
    )
    assert charged < 200, "the agent pays for what was seen"
    receipt: dict[str, Any] = json.loads(body)
    return receipt


async def another_agent(made: Bench) -> None:
    limits = Limits(max_charge_msat=10**9, daily_msat=10**9)
    await made.vault.create_agent(
        NewAgent(id="ag_b", name="b", realm="sim", token_hash=b"b" * 32, limits=limits, fund_msat=10**8, rail="sim")
    )


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("fields", [{}, ODD], ids=["plain", "odd"])
def test_it_is_asked_no_more_once_the_call_cannot_be_to_blame(
    tmp_path: Path, agent: str, fields: dict[str, Any]
) -> None:
    """First an odd call of one agent. Then a plain one, or another agent's; the same again is no news."""

    async def story() -> None:
        async with bench(tmp_path, bills_too_much, plugin=TakesPlugins, rules=DispatchRules()) as made:
            await another_agent(made)
            for number in range(3):
                receipt = await called(made, f"req_{number}", "ag_a", ODD)
                assert (receipt["overage_msat"] > 4900, receipt["overage_fields"]) == (True, ["plugins"])
            receipt = await called(made, "req_next", agent, fields)
            assert receipt["overage_fields"] == sorted(fields)
            if agent == "ag_a" and fields:
                await called(made, "req_last", "ag_a", {})
            with pytest.raises(ProvidersUnavailable, match="bills more than its own limits"):
                await called(made, "req_out", "ag_a", {})

    asyncio.run(story())
