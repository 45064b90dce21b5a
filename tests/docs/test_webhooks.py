"""docs/webhooks.md names every event, and its receiver takes what arbstr sends."""

from __future__ import annotations

import re
from pathlib import Path

from arbstr_core.flow.notify import signature
from arbstr_core.types import Secret
from arbstr_core.vault import EventName

TEXT = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()


def test_every_event_is_described() -> None:
    rows = re.findall(r"^\| (`[^|]*) \| ", TEXT.split("## What a receiver does")[0], re.M)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == {event.value for event in EventName}


def test_the_receiver_takes_what_is_signed_and_nothing_else() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    made: dict = {}
    exec("import hashlib, hmac, time\n" + code, made)
    check = made["is_from_arbstr"]
    now = int(made["time"].time())
    for at, secret, body, good in [
        (now, "s", b"{}", True),
        (now, "s", b"{ }", False),
        (now, "t", b"{}", False),
        (now - 301, "s", b"{}", False),
    ]:
        headers = {"x-arbstr-timestamp": str(at), "x-arbstr-signature": signature(Secret(secret), at, b"{}")}
        assert check(headers, body, "s") is good
    headers = {"x-arbstr-timestamp": str(now + 1), "x-arbstr-signature": signature(Secret("s"), now, b"{}")}
    assert not check(headers, b"{}", "s")
