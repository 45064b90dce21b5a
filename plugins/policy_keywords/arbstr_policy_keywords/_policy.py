"""Owns the choice of a rule for a call, and what the rule leaves of the quotes."""

from __future__ import annotations

from collections.abc import Sequence

from arbstr_core.api import Caller, ChatCall, Excluded, Quote, RoutingPolicy, Standing, Verdict
from arbstr_policy_keywords._rules import Rule, keyword_in

HEADER = "x-arbstr-policy"
_LOOKED_AT = 50_000
"""characters at either end of a message: a book in between holds up no other call while it is searched"""


class KeywordPolicy(RoutingPolicy):
    """Narrows by one rule: the one named in the header, else the first with a keyword in the last user message."""

    name = "policy_keywords"

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._keywords = [(rule, rule.folded()) for rule in rules if rule.keywords]

    def consider(self, call: ChatCall, caller: Caller, quotes: tuple[Quote, ...], standing: Standing) -> Verdict:
        """Apply the rule for `call`; keep all where there is none, and none where the header names no rule."""
        named = call.hints.get(HEADER)
        if named is not None:
            rule = self._rules.get(named)
            return self._unknown(named, quotes) if rule is None else _narrow(rule, quotes, "by header")
        text = _ends(call.last_user_message()).casefold()
        for rule, keywords in self._keywords:
            keyword = keyword_in(keywords, text)
            if keyword is not None:
                return _narrow(rule, quotes, f"by keyword {keyword!r}")
        return Verdict(kept=quotes)

    def _unknown(self, named: str, quotes: tuple[Quote, ...]) -> Verdict:
        """A rule that is asked for and does not exist may be a spending limit misspelt: refuse."""
        rules = ", ".join(self._rules) or "none"
        reason = f"X-Arbstr-Policy names no rule {named[:60]!r}; rules: {rules}"
        out = tuple(_out(quote, "the rule that was asked for does not exist") for quote in quotes)
        return Verdict(kept=(), out=out, reasons=(reason,))


def _ends(text: str) -> str:
    """What of a message keywords are looked for in. No word begins where its end was cut off."""
    return text if len(text) <= 2 * _LOOKED_AT else f"{text[:_LOOKED_AT]}_{text[-_LOOKED_AT:]}"


def _narrow(rule: Rule, quotes: tuple[Quote, ...], how: str) -> Verdict:
    kept, out = [], []
    for quote in quotes:
        objection = _objection(rule, quote)
        if objection is None:
            kept.append(quote)
        else:
            out.append(_out(quote, f"rule {rule.name!r}: {objection}"))
    return Verdict(kept=tuple(kept), out=tuple(out), reasons=(f"rule {rule.name!r} {how}",), strategy=rule.strategy)


def _objection(rule: Rule, quote: Quote) -> str | None:
    """Why `rule` does not allow `quote`, or None."""
    model = quote.offer.model
    if rule.allowed_models is not None and model not in rule.allowed_models:
        return f"{model} is not one of {', '.join(rule.allowed_models)}"
    for part, unit in (("input", "a million tokens"), ("output", "a million tokens"), ("request", "a request")):
        ceiling, price = rule.ceiling(f"max_{part}"), getattr(quote.price, part)
        if ceiling is not None and price > ceiling:
            return f"{part} costs {price} msat {unit}, above max_{part} {ceiling} msat"
    return None


def _out(quote: Quote, reason: str) -> Excluded:
    offer = quote.offer
    return Excluded(provider=offer.provider, model=offer.model, reason=reason, node=offer.node)
