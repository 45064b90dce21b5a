"""Complexity: held to the kit; what makes a prompt hard, what it demands, and how often that is right."""

from __future__ import annotations

from typing import Any

import arbstr_policy_complexity
import msgspec
import pytest
from arbstr_policy_complexity import ComplexityPolicy
from arbstr_policy_complexity._config import Weights
from arbstr_policy_complexity._score import Scorer
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.api import ArbstrError, ChatCall, Endpoint, Quote, Standing, Tier, Verdict
from arbstr_core.testing import PluginSuite, PolicySuite, a_call, a_caller, a_quote, an_offer, configure, some_calls

GREETING = "Hi! How are you today?"
HARD = "Prove that the scheduler never starves a job, analyse its worst case, and justify every step."


def policy(**table: Any) -> ComplexityPolicy:
    config = configure(arbstr_policy_complexity, table)
    (made,) = arbstr_policy_complexity.arbstr_policies(config)
    assert isinstance(made, ComplexityPolicy)
    return made


def quotes(*tiers: Tier) -> tuple[Quote, ...]:
    return tuple(a_quote(an_offer(provider=tier.value, model=f"m-{tier}", tier=tier)) for tier in tiers or tuple(Tier))


def consider(
    text: str = GREETING,
    *tiers: Tier,
    model: str = "auto",
    header: str | None = None,
    sold: frozenset[Tier] = frozenset(Tier),
    **table: Any,
) -> Verdict:
    hints = {} if header is None else {"x-arbstr-complexity": header}
    call = a_call(text, model=model, hints=hints)
    return policy(**table).consider(call, a_caller(), quotes(*tiers), Standing(tiers=sold))


def demanded(verdict: Verdict) -> tuple[Tier | None, Tier | None, Tier | None]:
    return verdict.tier_floor, verdict.tier_ceiling, verdict.tier_spare


class TestPlugin(PluginSuite):
    def table(self):
        return {"standard": 0.3, "frontier": 0.8, "models": ["auto", "smart"], "weights": {"reasoning": 0.5}}

    @pytest.fixture
    def plugin(self):
        return arbstr_policy_complexity


class TestPolicy(PolicySuite):
    def calls(self):
        odd = [
            {"messages": "x"},
            {"messages": [7]},
            {"messages": [[]]},
            {"messages": [{"content": [None, {"text": 1}]}]},
        ]
        whole = [a_call(call.last_user_message(), model="auto") for call in some_calls()]
        return (*some_calls(), *whole, *(a_call(model="auto", messages=each["messages"]) for each in odd[1:]))

    @pytest.fixture
    def make(self):
        return policy


# -- what is demanded --------------------------------------------------------------------------------------------------


def test_a_greeting_stays_local_and_a_proof_goes_to_the_frontier() -> None:
    easy, hard = consider(GREETING), consider(HARD)
    assert demanded(easy) == (Tier.LOCAL, Tier.LOCAL, Tier.FRONTIER)
    assert demanded(hard) == (Tier.FRONTIER, Tier.FRONTIER, Tier.FRONTIER)
    assert len(easy.kept) == len(hard.kept) == 3
    assert easy.reasons[0].startswith("complexity 0.18 is local: 0.37, work +0.04, simple -0.2")
    assert "reasoning +0.51" in hard.reasons[0]
    assert hard.notes["by"] == "prompt"
    assert hard.notes["tier"] == "frontier"
    assert hard.notes["score"] == pytest.approx(min(1.0, sum(hard.notes["parts"].values())))


def test_a_model_that_is_named_is_respected() -> None:
    for model in ("gpt-4o", "auto:frontier", "AUTO"):
        verdict = consider(HARD, model=model)
        assert demanded(verdict) == (None, None, None)
        assert (verdict.reasons, verdict.notes) == ((), {})
    assert demanded(consider(HARD, model="smart", models=["smart"]))[0] is Tier.FRONTIER
    assert demanded(consider(HARD, models=["smart"]))[0] is None


@pytest.mark.parametrize(
    ("header", "tier"),
    [("low", Tier.LOCAL), ("Medium", Tier.STANDARD), (" HIGH ", Tier.FRONTIER), ("standard", Tier.STANDARD)],
)
@pytest.mark.parametrize("model", ["auto", "gpt-4o"])
def test_the_header_decides_in_place_of_the_prompt(header: str, tier: Tier, model: str) -> None:
    for text in (GREETING, HARD):
        verdict = consider(text, model=model, header=header)
        assert demanded(verdict) == (tier, tier, Tier.FRONTIER)
        assert verdict.reasons == (f"X-Arbstr-Complexity asks for {tier}",)
        assert verdict.notes == {"by": "header", "tier": tier.value}


def test_a_header_that_says_nothing_is_ignored_and_told() -> None:
    verdict = consider(HARD, header="very")
    assert demanded(verdict)[0] is Tier.FRONTIER
    assert verdict.reasons[0].endswith("(X-Arbstr-Complexity 'very' is none of low, medium, high)")
    assert demanded(consider(HARD, header="very", model="gpt-4o")) == (None, None, None)


def test_a_header_leaves_no_named_model_without_anybody() -> None:
    verdict = consider(GREETING, Tier.LOCAL, model="m", header="high")
    assert demanded(verdict) == (Tier.LOCAL, Tier.LOCAL, Tier.FRONTIER)
    assert verdict.reasons[0].endswith("nothing of it or above is on sale, so local")
    assert demanded(consider(HARD, Tier.FRONTIER, model="m", header="low")) == (
        Tier.LOCAL,
        Tier.LOCAL,
        Tier.FRONTIER,
    )


def test_a_tier_that_nobody_sells_cannot_be_demanded_and_one_that_is_down_can() -> None:
    down = consider(HARD, Tier.LOCAL, Tier.STANDARD)
    assert demanded(down)[0] is Tier.FRONTIER
    never = consider(HARD, Tier.LOCAL, Tier.STANDARD, sold=frozenset({Tier.LOCAL, Tier.STANDARD}))
    assert demanded(never) == (Tier.STANDARD, Tier.STANDARD, Tier.FRONTIER)
    assert never.reasons[0].endswith("nothing of it or above is on sale, so standard")
    assert never.notes["tier"] == "standard"


def test_embeddings_are_not_scored() -> None:
    call = msgspec.structs.replace(a_call(HARD, model="auto"), endpoint=Endpoint.EMBEDDINGS)
    verdict = policy().consider(call, a_caller(), quotes(), Standing())
    assert demanded(verdict) == (None, None, None)


def test_without_escalation_a_tier_is_a_tier() -> None:
    assert demanded(consider(GREETING, escalate=False)) == (Tier.LOCAL, Tier.LOCAL, None)


# -- what makes a prompt hard ------------------------------------------------------------------------------------------


def score(*messages: dict[str, Any], **fields: Any) -> float:
    call = a_call(messages=list(messages), model="auto", fields=fields)
    return Scorer(configure(arbstr_policy_complexity, {}))(call).value


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


SAID = user("Please look at this for me and tell me what you think about it when you have the time.")


@pytest.mark.parametrize(
    ("part", "messages", "fields"),
    [
        ("length", [user(SAID["content"] + " It was a quiet day in the village." * 300)], {}),
        ("code", [user(SAID["content"] + "\n```\nx = 1\n```\n")], {}),
        ("files", [user(SAID["content"] + " src/net/pool.rs")], {}),
        ("reasoning", [user(SAID["content"] + " Mind the deadlock.")], {}),
        ("depth", [SAID, {"role": "assistant", "content": "Yes?"}] * 6 + [SAID], {}),
        ("tools", [SAID], {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("schema", [SAID], {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}),
    ],
)
def test_each_part_makes_a_prompt_harder_and_says_so(
    part: str, messages: list[dict[str, Any]], fields: dict[str, Any]
) -> None:
    scorer = Scorer(configure(arbstr_policy_complexity, {}))
    found = scorer(a_call(messages=messages, model="auto", fields=fields))
    assert found.parts[part] > 0
    assert found.value > score(SAID)
    without = Scorer(configure(arbstr_policy_complexity, {"weights": {part: 0.0}}))
    assert part not in without(a_call(messages=messages, model="auto", fields=fields)).parts


def test_going_on_goes_on_with_what_was_hard() -> None:
    hard = score(user(HARD), {"role": "assistant", "content": "Shall I?"}, user("Yes, please."))
    assert hard > score(user("Tell me a joke."), {"role": "assistant", "content": "Shall I?"}, user("Yes, please."))


def test_what_is_to_be_worked_on_is_not_what_is_asked() -> None:
    material = "The deadlock proof of the distributed migration. " * 100
    assert score(user(f"Count the words of this text. {'Once upon a time. ' * 60}{material}{'The end. ' * 80}")) < 0.7


def test_words_of_the_operator_count() -> None:
    call = a_call("Check the underwriting of this reinsurance for me, as you did with the other two.", model="auto")
    plain, own = (Scorer(configure(arbstr_policy_complexity, table)) for table in ({}, {"keywords": ["Underwriting"]}))
    assert own(call).value > plain(call).value


@given(
    text=st.text(max_size=400),
    turns=st.integers(0, 4),
    tools=st.integers(0, 9),
    weights=st.fixed_dictionaries({}, optional={name: st.floats(-1, 1) for name in Weights.__struct_fields__}),
)
def test_a_score_is_the_sum_of_its_parts_within_its_bounds(
    text: str, turns: int, tools: int, weights: dict[str, float]
) -> None:
    fields = {"tools": [{"type": "function"}] * tools} if tools else {}
    call = a_call(messages=[user(text)] * turns, fields=fields, model="auto")
    found = Scorer(configure(arbstr_policy_complexity, {"weights": weights}))(call)
    assert 0 <= found.value <= 1
    assert found.value == pytest.approx(min(1.0, max(0.0, sum(found.parts.values()))), abs=0.001)


def test_prompts_of_other_endpoints_are_read() -> None:
    scorer = Scorer(configure(arbstr_policy_complexity, {}))
    whole = a_call(messages=[], fields={"input": HARD}, model="auto")
    items = a_call(messages=[], fields={"input": [user(HARD)]}, model="auto")
    for call in (whole, items):
        members = {name: span for name, span in call.members.items() if name != "messages"}
        found = scorer(ChatCall(**{**{f: getattr(call, f) for f in call.__struct_fields__}, "members": members}))
        assert found.tier is Tier.FRONTIER


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"standard": 0.8}, "a frontier prompt has the higher one"),
        ({"frontier": 1.5}, "scores are from 0 to 1"),
        ({"keywords": ["two words"]}, "write single words"),
        ({"weights": {"simple": -2.0}}, "a weight is from -1 to 1"),
        ({"weights": {"simpel": 0.1}}, 'did you mean "simple"'),
        ({"weights": {"base": float("nan")}}, "a weight is from -1 to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ArbstrError) as refused:
        policy(**table)
    assert said in str(refused.value)
