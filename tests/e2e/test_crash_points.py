"""The process dies at every point of a short story in turn: at each sync, each commit, each step of its provider.

After each death the power is cut, and what clients were told until then must be true; `at` in a failure says where.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
from asyncio import StreamWriter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from cutting import Cutter, What, When
from house import PRICED, NotServing, Process, Served, Setup, chat, instance, run, serving, until, write
from killing import INPUT, LOST, PRICE, OnPostgres
from postgres import Cluster, database
from unsynced import Unsynced
from upstream import Act, Upstream

NEVER = 10**9
DEARER = 'input = "2000 sat"\noutput = "8000 sat"'
CHEAP = f"[models.m]\n{PRICED}\n[models.both]\n{PRICED}\n[models.none]\n{PRICED}"
PATCH = {"daily_msat": 123_456_789}
OUTPUT = b" word"


@dataclass
class Told:
    """What the client knows of each step, in order."""

    agent: dict[str, Any] | None = None
    funded: bool = False
    whole: dict[str, int] = field(default_factory=dict)
    """what was charged, by request id"""
    output: set[str] = field(default_factory=set)
    """calls whose client has seen output"""
    refused: set[str] = field(default_factory=set)
    limited: bool = False
    rotated: str = ""
    """the new token"""
    finished: bool = False


class Story:
    """An agent is made and funded, calls, gets other limits and another token; each step once."""

    def __init__(self, place: Setup, told: Told, on_output: Callable[[], None]) -> None:
        self._place = place
        self._told = told
        self._on_output = on_output

    def tell(self) -> None:
        """All of it, or until the process is gone."""
        with (
            contextlib.suppress(httpx.TransportError),
            httpx.Client(base_url=self._place.url, timeout=60, trust_env=False) as http,
        ):
            self._steps(http)
            self._told.finished = True

    def _steps(self, http: httpx.Client) -> None:
        told, operator = self._told, self._place.operator()

        def admin(method: str, path: str, document: Any = None) -> Any:
            answer = http.request(method, f"/admin/agents{path}", json=document, headers=operator)
            assert answer.is_success, answer.text
            return answer.json()

        new = {"name": "a", "fund_msat": 10**8, "max_charge_msat": 10**8, "daily_msat": 10**8}
        told.agent = admin("POST", "", new)
        mine = f"/{told.agent['id']}"
        admin("POST", f"{mine}/fund", FUNDING)
        told.funded = True
        token = told.agent["token"]
        self._whole(http, token, "m")
        self._stream(http, token)
        self._whole(http, token, "both")
        self._whole(http, token, "none", status=502)
        admin("PATCH", f"{mine}/limits", PATCH)
        told.limited = True
        told.rotated = admin("POST", f"{mine}/rotate")["token"]
        self._whole(http, told.rotated, "m")

    def _whole(self, http: httpx.Client, token: str, model: str, *, status: int = 200) -> None:
        answer = http.post("/v1/chat/completions", json=chat(model, max_tokens=50), headers=_known(token))
        assert answer.status_code == status, answer.text
        name = answer.headers["x-request-id"]
        if status == 200:
            self._told.whole[name] = int(answer.headers["x-arbstr-cost-msat"])
            self._told.output.add(name)
        else:
            self._told.refused.add(name)

    def _stream(self, http: httpx.Client, token: str) -> None:
        body = chat(stream=True, max_tokens=50)
        with http.stream("POST", "/v1/chat/completions", json=body, headers=_known(token)) as answer:
            assert answer.status_code == 200, answer.read()
            text = b""
            for part in answer.iter_bytes():
                text += part
                if OUTPUT in text and answer.headers["x-request-id"] not in self._told.output:
                    self._told.output.add(answer.headers["x-request-id"])
                    self._on_output()
            assert text.endswith(b"data: [DONE]\n\n"), text


FUNDING = {"amount_msat": 5_000, "key": "once"}


def _known(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


class Deadly(Upstream):
    """Two providers' server; at its n-th moment it does something, before anything else happens.

    A moment is when a request has come, and each time that something was sent.
    """

    def __init__(self, number: int = NEVER) -> None:
        super().__init__()
        self._left = number
        self.then: Callable[[], object] = lambda: None
        # As long as two words: what is seen of a stream in its middle is not all of it.
        self.script("m", Act(words=2, usage=(11, 5)))
        self.script("both", Act(how="status", status=500), Act(usage=(11, 5)))
        self.script("none", Act(how="status", status=500))

    def moment(self) -> None:
        """One more has come."""
        self._left -= 1
        if self._left == 0:
            self.then()

    async def _play(self, act: Act, asked: dict[str, Any], writer: StreamWriter) -> bool:
        self.moment()
        return await super()._play(act, asked, _Told(writer, self.moment))  # type: ignore[arg-type]


class _Told:
    """A writer that says when something was sent."""

    def __init__(self, writer: StreamWriter, sent: Callable[[], None]) -> None:
        self._writer = writer
        self._sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    async def drain(self) -> None:
        await self._writer.drain()
        self._sent()


def _written(folder: Path, url: str, more: str = "") -> Setup:
    tables = instance("cheap", url, CHEAP) + instance("dear", url, f"[models.both]\n{DEARER}")
    return write(folder, tables + more)


def _told_until_death(
    place: Setup, upstream: Deadly, env: dict[str, str] | None = None, *, at_output: bool = False
) -> tuple[Told, bool]:
    """What was told until the process died, and whether it did; unharmed it ends as it should."""
    told = Told()
    try:
        served = Process(place, env=env)
    except NotServing as died:
        if died.code != -signal.SIGKILL:
            raise
        return told, True
    upstream.then = partial(_kill, served.pid)
    Story(place, told, upstream.then if at_output else lambda: None).tell()  # type: ignore[arg-type]
    code = served.stop() if told.finished else served.kill()
    assert code in (0, -signal.SIGKILL), (place.folder / "serve.log").read_text()
    return told, code != 0


def _kill(process: int) -> None:
    # The last moment may come when the story has been told, and the process has ended.
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


async def _require(place: Setup, told: Told, upstream: Deadly, *, lease: float = 0) -> None:
    """After the next start all that was told is true, and the ledger is well."""
    async with serving(place) as served:

        async def ended() -> bool:
            return place.rows("SELECT count(*) FROM hold WHERE state = 'held'") == [(0,)]

        await (until(ended, lease) if lease else ended())
        await served.verified()
        ends = {id: (kind, msat, memo == "orphaned") for id, kind, msat, memo in place.rows(ENDS)}
        _require_calls(told, ends, upstream.hits())
        names = {row[0] for row in place.rows("SELECT id FROM agent")}
        if told.agent is None:
            assert len(names) <= 1
            return
        assert told.agent["id"] in names, f"the agent {LOST}"
        await _require_agent(served, told, told.agent, sum(msat for _, msat, _ in ends.values()))


ENDS = "SELECT h.id, x.kind, x.amount_msat, x.memo FROM hold h JOIN transfer x ON x.hold_seq = h.seq"


def _require_calls(told: Told, ends: dict[str, tuple[str, int, bool]], executed: int) -> None:
    for name, msat in told.whole.items():
        assert ends.get(name) == ("settle", msat, False), f"the charge of {name} {LOST}: {ends.get(name)}"
    for name in told.output:
        kind, msat, _ = ends[name]
        assert (kind, msat > 0) == ("settle", True), f"output of {name} was seen, and it cost nothing"
    for name in told.refused:
        # The refusal waits for its release, though not for ever; an orphan costs what it had sent.
        assert ends[name] in (("release", 0, False), ("settle", INPUT, True)), ends[name]
    assert sum(kind == "settle" and not orphan for kind, _, orphan in ends.values()) <= executed
    for kind, msat, orphan in ends.values():
        # Nobody heard of the end of an orphan: its input is what was seen of it, at the price of who was to serve.
        prices = (INPUT, 2 * INPUT) if orphan else (PRICE, 2 * PRICE)
        assert (kind, msat) == ("release", 0) or (kind, msat) in [("settle", price) for price in prices]


async def _require_agent(served: Served, told: Told, agent: dict[str, Any], charged: int) -> None:
    posted = (await served.show(agent))["posted_msat"]
    assert posted in ([10**8 + 5_000 - charged] if told.funded else [10**8 - charged, 10**8 + 5_000 - charged])
    # Who was told nothing asks again, and is given it once.
    again = await served.admin.post(f"/admin/agents/{agent['id']}/fund", json=FUNDING)
    assert again.json()["posted_msat"] == 10**8 + 5_000 - charged
    limits = (await served.show(agent))["limits"]
    assert limits["max_charge_msat"] == 10**8
    assert limits["daily_msat"] in ([PATCH["daily_msat"]] if told.limited else [10**8, PATCH["daily_msat"]])
    body = chat(max_tokens=50)
    old = await served.http.post("/v1/chat/completions", json=body, headers=_known(agent["token"]))
    if told.rotated:
        new = await served.http.post("/v1/chat/completions", json=body, headers=_known(told.rotated))
        assert (old.status_code, new.status_code) == (401, 200), f"the new token {LOST}"
    else:
        assert old.status_code in (200, 401)
    await served.verified()


def at_a_sync(folder: Path, when: str, number: int) -> bool:
    """Die at that sync; whether there was one."""
    (folder / "data").mkdir(mode=0o700, parents=True)
    with Deadly() as upstream, Unsynced(folder / "data", pattern="*") as power:
        place = _written(folder, upstream.url)
        told, died = _told_until_death(place, upstream, power.environment(**{when: number}))
        if power.caught().writes:
            power.cut(seed=number if number % 2 else None)
        run(_require(place, told, upstream))
    return died


def at_a_moment(folder: Path, number: int, *, at_output: bool = False) -> bool:
    """Die at that moment of the providers, or when the client has seen output of a stream; whether there was one."""
    (folder / "data").mkdir(mode=0o700, parents=True)
    with Deadly(number) as upstream, Unsynced(folder / "data", pattern="*") as power:
        place = _written(folder, upstream.url)
        told, died = _told_until_death(place, upstream, power.environment(), at_output=at_output)
        power.cut(seed=number if number % 2 else None)
        run(_require(place, told, upstream))
    return died


def at_a_commit(cluster: Cluster, folder: Path, when: When, number: int) -> bool:
    """Die when the server is about to see that commit, or has answered it and nobody knows; whether there was one."""
    with Deadly() as upstream, database(cluster) as url, Cutter(url) as cutter:
        more = '[vault]\nheartbeat_seconds = 1\n[storage]\nurl = "{}"\n'
        place = _written(folder, upstream.url, more.format(cutter.url))
        cutter.at_commit(number, when, What.STALL)
        told, died = _told_until_stalled(place, upstream, cutter)
        text = place.file.read_text().replace(cutter.url, url)
        place.file.write_text(text)
        run(_require(OnPostgres(place.folder, place.port, url), told, upstream, lease=60))
    return died


def _told_until_stalled(place: Setup, upstream: Deadly, cutter: Cutter) -> tuple[Told, bool]:
    """The process is killed as soon as the cutter stalls, and only then its connections end."""
    over = threading.Event()

    def kill() -> None:
        while not cutter.stalls and not over.wait(0.005):
            pass
        if cutter.stalls:
            for pid in _serving(place):
                _kill(pid)
            cutter.cut()

    watching = threading.Thread(target=kill)
    watching.start()
    try:
        return _told_until_death(place, upstream)
    finally:
        over.set()
        watching.join()
        cutter.forget()
        cutter.cut()


def _serving(place: Setup) -> list[int]:
    """The process that serves `place`, by the variable that it was started with."""
    wanted = f"ARBSTR_CONFIG={place.file}".encode()
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return found


def each(at: Callable[[int], bool], first: int, step: int) -> int:
    """Die at the first point, some later, and so on, until a run ends unharmed; how often it died."""
    for turn in itertools.count():
        number = first + turn * step
        try:
            died = at(number)
        except BaseException as error:
            error.add_note(f"at {number}")
            raise
        if not died:
            return turn
    raise AssertionError("it never ended")


SYNCS = [("kill_before_sync", 2), ("kill_after_sync", 5)]
STEP = 9


@pytest.mark.parametrize(("when", "first"), SYNCS)
def test_at_some_syncs(tmp_path: Path, when: str, first: int) -> None:
    assert each(lambda number: at_a_sync(tmp_path / str(number), when, number), first, STEP) > 2


def test_at_some_moments_of_the_providers(tmp_path: Path) -> None:
    assert each(lambda number: at_a_moment(tmp_path / str(number), number), 1, 5) > 2


def test_when_output_was_seen(tmp_path: Path) -> None:
    assert at_a_moment(tmp_path, NEVER, at_output=True)


@pytest.mark.parametrize(("when", "first"), [(When.BEFORE, 9), (When.AFTER, 12)])
def test_at_some_commits(postgres: Cluster, tmp_path: Path, when: When, first: int) -> None:
    assert each(lambda number: at_a_commit(postgres, tmp_path / str(number), when, number), first, 9) > 0


@pytest.mark.campaign
@pytest.mark.parametrize("when", [when for when, _ in SYNCS])
def test_at_every_sync(tmp_path: Path, when: str) -> None:
    assert each(lambda number: at_a_sync(tmp_path / str(number), when, number), 1, 1) > 20


@pytest.mark.campaign
def test_at_every_moment_of_the_providers(tmp_path: Path) -> None:
    assert each(lambda number: at_a_moment(tmp_path / str(number), number), 1, 1) > 15


@pytest.mark.campaign
@pytest.mark.parametrize("when", list(When))
def test_at_every_commit(postgres: Cluster, tmp_path: Path, when: When) -> None:
    assert each(lambda number: at_a_commit(postgres, tmp_path / str(number), when, number), 1, 1) > 20
