"""Rules: held to the kit; how one is chosen, and what it leaves."""

from __future__ import annotations

from typing import Any

import arbstr_policy_keywords
import pytest

from arbstr_core.api import ArbstrError, ChatCall, MsatPrice, RoutingPolicy, Standing, Verdict
from arbstr_core.testing import (
    PluginSuite,
    PolicySuite,
    a_call,
    a_caller,
    a_quote,
    an_offer,
    configure,
    some_calls,
    some_quotes,
)

CODE = {"name": "code", "keywords": ["code", "function"], "allowed_models": ["model-b"], "strategy": "cheapest"}
CHEAP = {"name": "cheap", "keywords": ["code", "draft"], "max_output": "1000 sat", "max_input": "600 sat"}


def policy(*rules: dict[str, Any]) -> RoutingPolicy:
    config = configure(arbstr_policy_keywords, {"rules": list(rules)})
    return arbstr_policy_keywords.arbstr_policies(config)[0]


def consider(call: ChatCall, *rules: dict[str, Any]) -> Verdict:
    return policy(*rules).consider(call, a_caller(), some_quotes(), Standing())


def models(verdict: Verdict) -> list[str]:
    return [quote.offer.model for quote in verdict.kept]


class TestPlugin(PluginSuite):
    def table(self):
        return {"rules": [CODE, CHEAP]}

    @pytest.fixture
    def plugin(self):
        return arbstr_policy_keywords


class TestPolicy(PolicySuite):
    def calls(self):
        named = [a_call(hints={"x-arbstr-policy": name}) for name in ("code", "cheap")]
        return (*some_calls(), *named, a_call("Draft a letter"), a_call("decode this"))

    @pytest.fixture
    def make(self):
        return lambda: policy(CODE, CHEAP)


def test_without_a_rule_all_stay():
    assert consider(a_call("Say hello"), CODE).kept == some_quotes()


def test_the_first_rule_in_order_with_a_keyword_counts():
    call = a_call("Draft some CODE please")
    assert models(consider(call, CODE, CHEAP)) == ["model-b"]
    assert models(consider(call, CHEAP, CODE)) == ["model-a", "model-a", "model-c"]


def test_the_header_beats_keywords_and_names_exactly():
    assert models(consider(a_call("code", hints={"x-arbstr-policy": "cheap"}), CODE, CHEAP)) != ["model-b"]
    verdict = consider(a_call("code", hints={"x-arbstr-policy": "Code"}), CODE, CHEAP)
    assert verdict.kept == ()
    assert verdict.reasons == ("X-Arbstr-Policy names no rule 'Code'; rules: code, cheap",)


def test_an_empty_header_names_no_rule():
    assert consider(a_call(hints={"x-arbstr-policy": ""}), CODE).kept == ()


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("write code", True),
        ("CODE!", True),
        ("the codebase", True),
        ("two functions", True),
        ("(code)", True),
        ("decode and encode", False),
        ("decode the code", True),
        ("my_code", False),
        ("malfunction", False),
        ("", False),
    ],
)
def test_a_keyword_stands_at_the_start_of_a_word(text: str, hit: bool):
    assert (models(consider(a_call(text), CODE)) == ["model-b"]) is hit


@pytest.mark.parametrize(
    ("keyword", "text"), [("コード", "このコードを直して"), ("straße", "STRASSE"), ("c++", "in C++")]
)
def test_keywords_in_other_scripts(keyword: str, text: str):
    assert models(consider(a_call(text), {**CODE, "keywords": [keyword]})) == ["model-b"]


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("{half} code", True),
        ("code {half}{half}{half}", True),
        ("{half}{half}{half} code", True),
        ("{half}{half} code {half}{half}", False),
        ("{half}{half}{half}de{code}", False),
    ],
)
def test_of_a_long_message_both_ends_are_looked_at(text: str, hit: bool):
    """So that one of 30 MB which says the word a million times over, at no beginning, holds up nobody."""
    code = "code" + "xcode" * 9_999 + "x"
    filled = text.format(half="xcode" * 8_000, code=code[:50_000])
    assert (models(consider(a_call(filled), CODE)) == ["model-b"]) is hit


def test_only_the_last_user_message_is_read():
    said = [{"role": "user", "content": "write code"}, {"role": "assistant", "content": "code"}]
    assert consider(a_call(messages=[*said, {"role": "user", "content": "thanks"}]), CODE).kept == some_quotes()
    assert models(consider(a_call(messages=said), CODE)) == ["model-b"]


def test_a_ceiling_is_inclusive_and_names_what_is_above():
    at, above = (MsatPrice(input=1, cached_input=1, output=output) for output in (1_000_000, 1_000_001))
    quotes = (a_quote(an_offer(provider="at", price=at)), a_quote(an_offer(provider="above", price=above)))
    verdict = policy(CHEAP).consider(a_call("draft"), a_caller(), quotes, Standing())
    assert [quote.offer.provider for quote in verdict.kept] == ["at"]
    assert verdict.out[0].reason == (
        "rule 'cheap': output costs 1000001 msat a million tokens, above max_output 1000000 msat"
    )


def test_the_price_with_margin_counts():
    offer = an_offer(price=MsatPrice(input=1, cached_input=1, output=1_000_000))
    quote = a_quote(offer, price=MsatPrice(input=1, cached_input=1, output=1_100_000))
    assert policy(CHEAP).consider(a_call("draft"), a_caller(), (quote,), Standing()).kept == ()


def test_the_request_fee_has_a_ceiling():
    fee = a_quote(an_offer(price=MsatPrice(input=0, cached_input=0, output=0, request=2_000)))
    rule = {"name": "r", "keywords": ["hello"], "max_request": "1 sat"}
    assert policy(rule).consider(a_call("hello"), a_caller(), (fee,), Standing()).kept == ()


def test_a_rule_brings_its_strategy():
    assert consider(a_call("code"), CODE).strategy == "cheapest"
    assert consider(a_call("draft"), CHEAP).strategy is None


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ([CODE, CODE], "two rules are named code"),
        ([{**CODE, "name": ""}], "give the rule a name"),
        ([{**CODE, "keywords": ["code", " "]}], "a keyword is empty"),
        ([{**CODE, "allowed_models": []}], "allowed_models is empty"),
        ([{**CODE, "max_output": "1 usd"}], "write a ceiling in sat or msat"),
        ([{"keywords": ["code"]}], "name: is missing"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_remedy(rules: list[dict[str, Any]], says: str):
    with pytest.raises(ArbstrError, match=says):
        configure(arbstr_policy_keywords, {"rules": rules})
