"""Owns what a rule is: its configuration, and whether its keywords are in a text."""

from __future__ import annotations

import msgspec

from arbstr_core.api import Rate

_CEILINGS = ("max_input", "max_output", "max_request")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[plugins.policy_keywords.rules]]`.

    `allowed_models` None allows all. Ceilings are on the agent's price, the operator's margin included: input and
    output per million tokens, `max_request` per request.
    """

    name: str
    keywords: tuple[str, ...] = ()
    allowed_models: tuple[str, ...] | None = None
    max_input: Rate | None = None
    max_output: Rate | None = None
    max_request: Rate | None = None
    strategy: str | None = None

    def __post_init__(self) -> None:
        if not self.name or self.name != self.name.strip():
            raise ValueError("name is empty or has blanks around it; give the rule a name as the header will say it")
        if any(not word.strip() for word in self.keywords):
            raise ValueError("a keyword is empty and would be in every message; take it out")
        if self.allowed_models is not None and not self.allowed_models:
            raise ValueError("allowed_models is empty; name models, or leave it out to allow all")
        for key in _CEILINGS:
            rate: Rate | None = getattr(self, key)
            if rate is not None and rate.usd:
                raise ValueError(f"{key} is in usd; write a ceiling in sat or msat")

    def ceiling(self, key: str) -> int | None:
        """A ceiling in msat, None where the rule has none."""
        rate: Rate | None = getattr(self, key)
        return None if rate is None else int(rate.value)

    def folded(self) -> tuple[tuple[str, str], ...]:
        """Each keyword, and as it is looked for."""
        return tuple((word, word.strip().casefold()) for word in self.keywords)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """`[plugins.policy_keywords]`: the rules, in the order in which keywords are tried."""

    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules are named {', '.join(twice)}; give each its own name")


def keyword_in(keywords: tuple[tuple[str, str], ...], text: str) -> str | None:
    """The first of a rule's `folded` keywords that `text`, case-folded, has at the start of a word."""
    for word, folded in keywords:
        if folded in text and _begins_a_word(folded, text):
            return word
    return None


def _begins_a_word(word: str, text: str) -> bool:
    at = text.find(word)
    while at >= 0:
        if at == 0 or not (_spells(text[at - 1]) and _spells(word[0])):
            return True
        at = text.find(word, at + 1)
    return False


def _spells(letter: str) -> bool:
    """True for what makes up words between blanks. Scripts without case, such as Chinese, mostly write no blanks."""
    return letter.isdigit() or letter == "_" or letter.lower() != letter.upper()
