"""What is set aside, sent and charged, as facts of the offer say."""

from __future__ import annotations

from pathlib import Path

import pytest
from house import chat, instance, run, serving, write
from upstream import Upstream

ROW = """[models.m]
input = "1000 sat"
output = "4000 sat"
context = 3000
fields = { foo = "5 sat", web_search_options = "7 sat" }
"""


def test_a_field_with_a_price_is_held_sent_and_charged(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(write(tmp_path, instance("x", upstream.url, ROW))) as served:
                agent = await served.agent()
                plain = await served.call(agent, max_tokens=10)
                priced = await served.call(agent, max_tokens=10, foo=[1.50])
                assert upstream.seen[-1].json["foo"] == [1.5]
                searched = await served.call(agent, max_tokens=10, web_search_options={})
                charges = [int(each.headers["x-arbstr-cost-msat"]) for each in (plain, priced, searched)]
                assert charges == [11 + 4 * 5, 11 + 4 * 5 + 5000, 11 + 4 * 5 + 7000]
                held = [int(each.headers["x-arbstr-reserved-msat"]) for each in (plain, priced, searched)]
                more = len(upstream.seen[1].body) - len(upstream.seen[0].body)
                assert held[1] == held[0] + more + 5000
                assert held[2] == 3000 + 4 * 10 + 7000, "what it finds is input, as much as fits the context"
                await served.verified()

    run(story())


@pytest.mark.parametrize("takes", ["max_tokens", "max_completion_tokens"])
def test_the_limit_reaches_the_provider_under_the_name_it_knows(tmp_path: Path, takes: str) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            rows = instance("x", upstream.url, more=f'limit_field = "{takes}"')
            async with serving(write(tmp_path, rows)) as served:
                agent = await served.agent()
                for limit in ({}, {"max_tokens": 7}, {"max_completion_tokens": 7}):
                    assert (await served.call(agent, **limit)).status_code == 200
                    sent = upstream.seen[-1].json
                    limits = {"max_tokens", "max_completion_tokens"}
                    assert {key: sent[key] for key in limits & sent.keys()} == {takes: 7 if limit else 4096}
                    assert sent["messages"] == chat()["messages"]

    run(story())
