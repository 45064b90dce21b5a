"""What was learned of calls decides the next ones, through the whole house: a conversation stays where its prompt is
cached while that is worth it, and the output that is usual decides who is cheapest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from house import Served, instance, run, serving, write
from upstream import Act, Upstream

LONG = "You are a careful engineer, and you answer in few words. " * 400
FIRST = [{"role": "system", "content": LONG}, {"role": "user", "content": "Begin."}]
NEXT = [*FIRST, {"role": "assistant", "content": "Begun."}, {"role": "user", "content": "Go on."}]


def model(**rates: str) -> str:
    return "[models.m]\n" + "\n".join(f'{name} = "{rate} sat"' for name, rate in rates.items())


async def asked(served: Served, agent: dict[str, Any], messages: list[dict[str, str]], **fields: Any) -> dict[str, Any]:
    answer = await served.http.post(
        "/v1/chat/completions",
        json={"model": "m", "messages": messages, **fields},
        headers={"authorization": f"Bearer {agent['token']}"},
    )
    assert answer.status_code == 200, answer.text
    return await served.receipt(answer.headers["x-request-id"])


def test_a_conversation_stays_where_its_prompt_is_cached(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(usage=(6000, 5)))
            rows = instance("flat", upstream.url, model(input="1000", output="4000"))
            rows += instance("caches", upstream.url, model(input="1050", cached_input="100", output="4000"))
            async with serving(write(tmp_path, rows)) as served:
                agent, other = await served.agent("a"), await served.agent("b")
                assert (await asked(served, other, FIRST))["provider"] == "providers_openai.flat"
                begun = await asked(served, agent, FIRST, provider={"only": ["caches"]})
                assert begun["provider"] == "providers_openai.caches"
                stayed = await asked(served, agent, NEXT)
                assert stayed["provider"] == "providers_openai.caches"
                (why,) = [reason for reason in stayed["reasons"] if "in its cache" in reason]
                assert why.startswith("providers_openai.caches was asked last, and has about 5")
                assert why.endswith("msat that providers_openai.flat is cheaper by")
                assert (await asked(served, other, NEXT))["provider"] == "providers_openai.flat"
                fresh = [{"role": "user", "content": "Something else. " * 500}]
                assert (await asked(served, agent, fresh))["provider"] == "providers_openai.flat"

    run(story())


def test_a_cache_that_never_has_anything_is_left(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(usage=(6000, 5)))
            rows = instance("flat", upstream.url, model(input="1000", output="4000"))
            rows += instance("caches", upstream.url, model(input="1200", cached_input="100", output="4000"))
            async with serving(write(tmp_path, rows)) as served:
                agent = await served.agent()
                messages = list(FIRST)
                await asked(served, agent, messages, provider={"only": ["caches"]})
                providers = []
                for turn in range(12):
                    messages += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": f"And {turn}?"}]
                    providers.append((await asked(served, agent, messages))["provider"])
                assert providers[0] == "providers_openai.caches"
                assert providers[-1] == "providers_openai.flat"
                left = providers.index("providers_openai.flat")
                assert set(providers[left:]) == {"providers_openai.flat"}

    run(story())


def test_the_usual_output_decides_who_is_cheapest(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            upstream.script("m", Act(words=5, usage=(6000, 5)))
            rows = instance("dear-in", upstream.url, model(input="2000", output="2000"))
            rows += instance("dear-out", upstream.url, model(input="1000", output="9000"))
            async with serving(write(tmp_path, rows)) as served:
                agent = await served.agent()
                first = await asked(served, agent, FIRST)
                assert first["provider"] == "providers_openai.dear-in"
                assert "4096 out" in first["reasons"][0]
                second = await asked(served, agent, FIRST)
                assert second["provider"] == "providers_openai.dear-out"
                assert ", 5 out" in second["reasons"][0]
                # What is set aside goes by the limit all the same.
                assert second["held_msat"] > 4096 * 9_000_000 // 1_000_000

    run(story())
