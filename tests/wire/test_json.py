"""A JSON object as bytes: its members are found, and changing some leaves all other bytes as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.wire import DuplicateKey, MalformedJson, members, splice

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["model", "max_tokens", "stream", "a", "aa", ""]) | st.text(max_size=4)
SPACES = st.sampled_from(["", " ", "\n", "\t \r\n"])


@st.composite
def keyed(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, Any]]]:
    """An object written in some way, with its pairs; keys may stand twice."""
    pairs = draw(st.lists(st.tuples(KEYS, VALUES), max_size=6))
    ascii_only = draw(st.booleans())

    def written(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, indent=draw(st.sampled_from([None, 1])))

    def spaced(text: str) -> str:
        return draw(SPACES) + text + draw(SPACES)

    inside = ",".join(spaced(json.dumps(key, ensure_ascii=ascii_only)) + ":" + spaced(written(v)) for key, v in pairs)
    text = spaced("{" + (inside or draw(SPACES)) + "}")
    return text.encode("utf-8", "surrogatepass"), pairs


def valid(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(keyed())
def test_members_are_where_they_say(written: tuple[bytes, list[tuple[str, Any]]]) -> None:
    body, pairs = written
    names = [key for key, _ in pairs]
    if len(set(names)) < len(names):
        with pytest.raises(DuplicateKey) as twice:
            members(body)
        assert names.count(twice.value.key) > 1
        return
    spans = members(body)
    assert {key: json.loads(body[a:b]) for key, (a, b) in spans.items()} == dict(pairs)


@given(keyed(), st.dictionaries(KEYS, VALUES, max_size=4))
def test_splice_changes_that_and_no_more(written: tuple[bytes, list[tuple[str, Any]]], changes: dict[str, Any]) -> None:
    body, pairs = written
    names = [key for key, _ in pairs]
    changes = {key: value for key, value in changes.items() if json.dumps(key) == f'"{key}"'}
    if len(set(names)) < len(names):
        return
    spans = members(body)
    values = {key: json.dumps(value).encode() for key, value in changes.items()}
    changed = splice(body, spans, values)
    assert json.loads(changed) == {**dict(pairs), **changes}
    after = members(changed)
    for key, (a, b) in spans.items():
        c, d = after[key]
        assert changed[c:d] == values.get(key, body[a:b])
    # With all new values taken out again, the old bytes are left, in their order.
    kept = [body[a:b] for key, (a, b) in spans.items() if key not in changes]
    assert [changed[slice(*after[key])] for key in spans if key not in changes] == kept
    if not values:
        assert changed == body


@given(keyed(), st.sets(KEYS, max_size=4), st.dictionaries(KEYS, VALUES, max_size=3))
def test_what_is_taken_out_is_gone_and_the_rest_is_as_it_was(
    written: tuple[bytes, list[tuple[str, Any]]], without: set[str], changes: dict[str, Any]
) -> None:
    body, pairs = written
    names = [key for key, _ in pairs]
    changes = {key: value for key, value in changes.items() if json.dumps(key) == f'"{key}"' and key not in without}
    if len(set(names)) < len(names):
        return
    spans = members(body)
    values = {key: json.dumps(value).encode() for key, value in changes.items()}
    changed = splice(body, spans, values, without)
    assert json.loads(changed) == {**{key: value for key, value in pairs if key not in without}, **changes}
    after = members(changed)
    kept = [key for key in spans if key not in without]
    assert [changed[slice(*after[key])] for key in kept] == [values.get(key, body[slice(*spans[key])]) for key in kept]
    if not (values or without & set(names)):
        assert changed == body


@pytest.mark.parametrize(
    ("body", "without", "left"),
    [
        (b'{"a":1}', "a", b"{}"),
        (b'{ "a" : 1 , "b" : 2 }', "a", b'{ "b" : 2 }'),
        (b'{ "a" : 1 , "b" : 2 }', "b", b'{ "a" : 1 }'),
        (b'{"a":1,"b":2,"c":3}', "bc", b'{"a":1}'),
        (b'{"a":1,"b":2,"c":3}', "ac", b'{"b":2}'),
        (b'{"a":1,"b":2,"c":3}', "abc", b"{}"),
        (b'{"a":1e2,"b":[1, 2],"c":"\\u00e9"}', "b", b'{"a":1e2,"c":"\\u00e9"}'),
    ],
)
def test_what_is_left_byte_for_byte(body: bytes, without: str, left: bytes) -> None:
    assert splice(body, members(body), {}, without) == left


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_anything_else_is_malformed_or_a_duplicate(body: bytes) -> None:
    try:
        spans = members(body)
    except (MalformedJson, DuplicateKey):
        return
    assert isinstance(json.loads(body), dict)
    assert valid(body)
    assert all(0 < a < b < len(body) for a, b in spans.values())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"a"',
        b"null",
        b'{"a":1}x',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":"\xff"}',
        b'{"a":{"b":"\xff"}}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":NaN}',
        b'\xef\xbb\xbf{"a":1}',
    ],
)
def test_malformed(body: bytes) -> None:
    with pytest.raises(MalformedJson):
        members(body)


@pytest.mark.parametrize("text", [rb"\ud83d", rb"\uDE00", rb"a\ud83d b", rb"\ud83d\u0041", rb"\\\ud83d"])
def test_half_of_a_character_is_named(text: bytes) -> None:
    """JavaScript writes it where a text was cut; providers refuse it, too, and most do not say why."""
    for body in (b'{"a":"%b"}', b'{"a":[{"b":"%b"}]}', b'{"%b":1}'):
        with pytest.raises(MalformedJson, match="half of a"):
            members(body % text)
    assert members(rb'{"a":"\ud83d\ude00 \\ud83d"}')


@pytest.mark.parametrize("times", [52, 60, 256, 257])
def test_a_key_of_many_escapes_hides_nothing(times: int) -> None:
    """Written as escapes, a short key is long: what stands behind it is seen all the same, or nothing is taken."""
    body = ('{"model":"m","' + "\\u0061" * times + '":1,"max_tokens":100000,"n":128}').encode()
    if times > 256:
        with pytest.raises(MalformedJson):
            members(body)
    else:
        assert members(body).keys() == {"model", "a" * times, "max_tokens", "n"}
    surrogates = ('{"' + "\\ud83d\\ude00" * 200 + '":1,"n":128}').encode()
    with pytest.raises(MalformedJson):
        members(surrogates)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"a":12,"a":1}',
        b'{"a":1,"a":12}',
        b'{"a":1,"b":2,"a":3}',
        b'{"a":1,"\\u0061":1}',
        b'{"a":[1],"a":[1,2]}',
        b'{"a":"","a":"x"}',
        b'{"a" : {} , "a" : {}}',
    ],
)
def test_a_key_that_stands_twice(body: bytes) -> None:
    with pytest.raises(DuplicateKey) as twice:
        members(body)
    assert twice.value.key == "a"
