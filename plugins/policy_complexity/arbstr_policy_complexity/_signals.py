"""What makes a prompt hard, each from 0 to 1: pure, in a fraction of a millisecond."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import msgspec

from arbstr_policy_complexity._prompt import Prompt, Said
from arbstr_policy_complexity._words import (
    HARD,
    HARD_PHRASES,
    PROOF,
    PROOF_PHRASES,
    SMALL,
    SMALL_PHRASES,
    THOROUGH,
    WORK,
    WORK_PHRASES,
    words_of,
)

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_FILE = re.compile(
    r"(?<![\w.-])[\w.-]+(?:/[\w.-]+)+"
    r"|(?<![\w-])[\w-]+\.(?:py|rs|tsx?|js|go|java|cpp|cc|c|h|toml|ya?ml|json|md|sql|sh|rb|kt)(?!\w)"
)
"""Each word is read once, from its beginning: without the looks behind, a long one is read again from each letter."""
_DIFF = re.compile(r"^(?:\+\+\+ |--- |@@ |diff --git )", re.MULTILINE)
_CLAUSE = re.compile(r"[,;:,、;:](?=\s|[^\x00-\x7f])|\band\b|\bund\b|\by\b|\bet\b|\bи\b", re.IGNORECASE)
_INSTRUCTION = 1_200
"""characters: of a longer message the beginning and the end say what to do, and what is between what to do it with"""
_MOST_FILES = 3
_UNSPACED = "\u2e80"
"""from here on Unicode has scripts that put no blanks between words"""
_LONG = 8
"""letters; longer words are rarer, and what is rare is mostly hard"""
_EARLIER = (1.0, 0.7, 0.5)
"""how much of what was asked before still counts: "yes, go on" goes on with something"""


class Signals(msgspec.Struct, frozen=True, kw_only=True):
    """How strong each is; `simple` speaks for a small model, all others against it."""

    length: float = 0.0
    code: float = 0.0
    files: float = 0.0
    reasoning: float = 0.0
    work: float = 0.0
    demands: float = 0.0
    wording: float = 0.0
    depth: float = 0.0
    tools: float = 0.0
    schema: float = 0.0
    simple: float = 0.0


class _Asked(msgspec.Struct, frozen=True):
    """What one message of the user asks."""

    reasoning: float = 0.0
    work: float = 0.0
    demands: float = 0.0
    wording: float = 0.0
    simple: float = 0.0


_NOTHING = _Asked()


def signals(prompt: Prompt, extra: frozenset[str] = frozenset()) -> Signals:
    """Those of a prompt; `extra` are words that the operator takes for hard ones."""
    asked = [_asked(said, extra) for said in prompt.asked] or [_NOTHING]
    shares = _EARLIER[: len(asked)]
    texts = [said.text for said in prompt.last]
    return Signals(
        length=_grown(prompt.length, 300, 12_000),
        code=_code(texts),
        files=_files(texts) / _MOST_FILES,
        reasoning=max(share * each.reasoning for share, each in zip(shares, asked, strict=True)),
        work=max(share * each.work for share, each in zip(shares, asked, strict=True)),
        demands=max(share * each.demands for share, each in zip(shares, asked, strict=True)),
        wording=max(share * each.wording for share, each in zip(shares, asked, strict=True)),
        depth=_grown(prompt.turns, 2, 24),
        tools=min(1.0, prompt.tools / 6),
        schema=0.5 + min(0.5, prompt.schema / 4000) if prompt.schema else 0.0,
        simple=asked[0].simple,
    )


def _asked(said: Said, extra: frozenset[str]) -> _Asked:
    text = _FENCE.sub(" ", said.text)
    size: float = said.length
    if len(text) > _INSTRUCTION:
        text = _instruction(text)
        size = len(text)
    text = text.casefold()
    words = words_of(text)
    if not words:
        return _Asked(simple=1.0)
    known = set(words)
    proof = len(known & PROOF) + _count(text, PROOF_PHRASES)
    hard = len(known & HARD) + len(known & extra) + _count(text, HARD_PHRASES)
    thorough = len(known & THOROUGH)
    work = min(1.0, (len(known & WORK) + _count(text, WORK_PHRASES)) / 3)
    size = len(words) if len(words) * 12 > size else size / 2.5
    little = max(0.0, 1.0 - size / 40) if said.length <= _INSTRUCTION else 0.0
    return _Asked(
        reasoning=min(1.0, (2 * proof + hard + 0.5 * thorough) / 3),
        work=work,
        demands=0.5 * _grown(size, 7, 70) + 0.5 * min(1.0, len(_CLAUSE.findall(text)) / 8),
        wording=min(1.0, sum(len(word) > _LONG and word[0] < _UNSPACED for word in words) / len(words) / 0.3),
        simple=little * (1.0 if known & SMALL or _count(text, SMALL_PHRASES) else 0.6) * (1 - 0.5 * work),
    )


def _instruction(text: str) -> str:
    """What a long message says to do: its first paragraph, and its last where that is short enough to be one."""
    paragraphs = text.split("\n\n")
    half = _INSTRUCTION // 2
    if len(paragraphs) == 1:
        return f"{text[:half]}\n{text[-half:]}"
    last = paragraphs[-1]
    return f"{paragraphs[0][:half]}\n{last if len(last) <= half else ''}"


def _count(text: str, phrases: Iterable[str]) -> int:
    return sum(1 for phrase in phrases if phrase in text)


def _files(texts: Iterable[str]) -> int:
    """How many files and paths the texts name, as far as it matters."""
    found: set[str] = set()
    for text in texts:
        for word in text.split():
            if ("/" in word or _dotted(word)) and "://" not in word and (name := _FILE.search(word)):
                found.add(name[0])
                if len(found) == _MOST_FILES:
                    return _MOST_FILES
    return len(found)


def _dotted(word: str) -> bool:
    """True where a letter follows a dot: a cheap look before the expensive one, for numbers are full of dots."""
    dot = word.find(".")
    return dot > 0 and word[dot + 1 : dot + 2].isalpha()


def _code(texts: Iterable[str]) -> float:
    fences = sum(text.count("```") // 2 for text in texts)
    return min(1.0, fences / 2 + 0.5 * any(_DIFF.search(text) for text in texts))


def _grown(size: float, least: float, most: float) -> float:
    """0 at `least` and below, 1 at `most` and above, by the logarithm between."""
    if size <= least:
        return 0.0
    return min(1.0, math.log(size / least) / math.log(most / least))
