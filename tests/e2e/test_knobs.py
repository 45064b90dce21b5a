"""OpenRouter's knobs through the door: they choose the provider, and no provider sees them unless one wants to."""

from __future__ import annotations

import json
from pathlib import Path

from house import instance, run, serving, write
from upstream import Upstream


def test_knobs_choose_and_stay_here(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as cheap, Upstream() as dear:
            wide = '[models.m]\ninput = "9000 sat"\noutput = "9000 sat"\nfields.provider = "pass"'
            tables = instance("cheap", cheap.url) + instance("dear", dear.url, wide)
            more = '[market]\nusd_per_btc = "100000"\nusd_spread = "0 ppm"\n'
            async with serving(write(tmp_path, tables + more)) as served:
                agent = await served.agent(models=["m"])

                async def served_by(model: str = "m", **fields: object) -> str:
                    answer = await served.call(agent, model=model, **fields)
                    return str(answer.headers.get("x-arbstr-provider", answer.json().get("error")))

                assert await served_by(provider={"sort": "price"}) == "providers_openai.cheap"
                assert json.loads(cheap.seen[-1].body).keys() == {"model", "messages", "max_tokens"}
                wish = {"only": ["dear"], "max_price": {"prompt": 9}}
                assert await served_by(provider=wish) == "providers_openai.dear"
                assert json.loads(dear.seen[-1].body)["provider"] == wish
                assert await served_by("m:floor") == "providers_openai.cheap"
                assert json.loads(cheap.seen[-1].body)["model"] == "m"
                assert "costs something" in await served_by("m:free")
                assert "model_not_found" in await served_by("m:online")
                # 1 usd is 1000 sat at that rate.
                assert "more than the 990000 that" in await served_by(provider={"max_price": {"prompt": 0.99}})
                assert await served_by(provider={"max_price": {"prompt": "1000 sat"}}) == "providers_openai.cheap"
                assert "provider.zdr" in await served_by(provider={"zdr": True})
                quoted = await served.http.post(
                    "/wallet/quote",
                    json={"model": "m:floor", "messages": [], "provider": {"ignore": ["cheap"]}},
                    headers={"authorization": f"Bearer {agent['token']}"},
                )
                assert [row["provider"] for row in quoted.json()["candidates"]] == ["providers_openai.dear"]
                await served.verified()

    run(story())
