"""Answers that are kept for whoever asks again: whole, and small while they go out."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.flow._kept import KeptAnswer

KB = 1024


@given(st.lists(st.binary(max_size=300) | st.sampled_from([b"data: word\n\n" * 20, b"x" * 9_000]), max_size=60))
def test_all_of_it_comes_back(parts: list[bytes]) -> None:
    kept = KeptAnswer(10**6)
    for part in parts:
        kept.add(part)
    assert kept.whole(b"end") == kept.whole(b"end") == b"".join(parts) + b"end"


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=20), st.integers(0, 40_000))
def test_of_what_is_too_large_nothing_is_kept(sizes: list[int], most: int) -> None:
    kept = KeptAnswer(most)
    for size in sizes:
        kept.add(bytes(size))
    fits = sum(sizes) <= most
    assert (kept.whole(b"") is not None) is fits
    assert fits or kept.held_bytes == 0


def event(number: int) -> bytes:
    delta = {"content": f" word {number * 7919 % 1009}"}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "a-model-2026-01-01"}
    return b"data: " + json.dumps({**head, "choices": [choice], "usage": None}).encode() + b"\n\n"


def test_a_long_stream_takes_less_than_10_kilobytes() -> None:
    kept = KeptAnswer(10**6)
    for number in range(600):
        kept.add(event(number))
        assert kept.held_bytes < 10 * KB, number
    whole = kept.whole(b"")
    assert whole is not None
    assert len(whole) > 100 * KB
