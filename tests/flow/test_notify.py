"""Events on their way to a webhook: a real server that fails, is slow, answers wrongly, and then takes them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from ports import free_port

from arbstr_core.flow import Notifier
from arbstr_core.flow.notify import Turn, signature, wait_seconds
from arbstr_core.net import Webhook
from arbstr_core.storage import Database
from arbstr_core.types import AddressRefused, NotDelivered, Overloaded, Secret
from arbstr_core.vault import HoldRequest, Limits, NewAgent, Vault, schema

SECRET = Secret("a secret of both")


class Clock:
    """Time that moves when told to."""

    ms = 1_750_000_000_000

    def now_ms(self):
        return self.ms

    def monotonic(self):
        return self.ms / 1000

    async def sleep(self, seconds):
        self.ms += int(seconds * 1000)


async def yes():
    return True


class Receiver:
    """An HTTP server that answers as its `script` says, 200 from then on, and keeps what it was sent."""

    def __init__(self, *script):
        self.script = list(script)
        self.got = []

    @asynccontextmanager
    async def serving(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?key=hunter2"

    async def _serve(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            headers = {name.lower(): value for name, value in headers.items()}
            body = await reader.readexactly(int(headers["content-length"]))
            self.got.append((head.split("\r\n")[0], headers, body))
            await self._answer(self.script.pop(0) if self.script else "200 OK", reader, writer)
        finally:
            writer.close()

    async def _answer(self, answer, reader, writer):
        if answer == "silence":
            await reader.read()
        elif answer != "gone":
            more = "location: http://127.0.0.1:1/\r\n" if answer.startswith("302") else ""
            writer.write(f"HTTP/1.1 {answer}\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()


@asynccontextmanager
async def told(tmp_path, clock, *, boot="boot-1"):
    """A vault in which every call above 100 msat is told of."""
    db = Database.open("sqlite:///arbstr.db", data_dir=tmp_path, clock=clock, schemas=[schema()])
    vault = Vault(db, boot_id=boot)
    try:
        if await vault.agent("ag_a") is None:
            limits = Limits(max_charge_msat=100, daily_msat=10**6, approval_seconds=60)
            await vault.create_agent(
                NewAgent(
                    id="ag_a",
                    name="a",
                    realm="sim",
                    token_hash=bytes(32),
                    limits=limits,
                    fund_msat=10**6,
                    rail="simulated",
                )
            )
        yield vault
    finally:
        await db.close()


async def tell(vault, *digests):
    for digest in digests:
        request = HoldRequest(
            id=f"r{digest}", agent="ag_a", ceilings=(200,), candidates=b"[]", model="m", body_digest=digest.encode()
        )
        await vault.hold(request)


def notifier(vault, url, clock, **more):
    timeout = more.pop("timeout", 5.0)
    hook = Webhook(url, timeout_seconds=timeout)
    return hook, Notifier(vault, hook, clock, secret=SECRET, lead=more.pop("lead", yes), **more)


def test_events_arrive_in_order_each_until_it_has(tmp_path):
    """Refused, silent, redirected, cut: each is tried again, and what is behind it waits."""
    clock = Clock()
    receiver = Receiver("500 Broken", "silence", "302 Found", "gone", "404 Not Found")

    async def story():
        async with told(tmp_path, clock) as vault, receiver.serving() as url:
            await tell(vault, "1", "2", "3")
            hook, sender = notifier(vault, url, clock)
            errors = []
            while await vault.next_event() is not None:
                # Whatever is said is waited for, however busy the machine.
                silent = receiver.script[:1] == ["silence"]
                hook._client.timeout = httpx.Timeout(60, read=0.2 if silent else 60)
                first = await vault.next_event()
                wait = await sender.step()
                after = {event.seq: event for event in await vault.events()}[first.seq]
                errors.append(after.last_error)
                if wait:
                    clock.ms += int(wait * 1000)
            await hook.aclose()
            assert await sender.step() == 1.0
        assert [each for each in dict.fromkeys(errors) if each] == [
            "the answer was 500",
            "no answer in time (ReadTimeout)",
            "the answer was 302",
            "no answer (RemoteProtocolError)",
            "the answer was 404",
        ]

    asyncio.run(story())
    ids = [json.loads(body)["id"] for _, _, body in receiver.got]
    assert [id.rpartition("_")[2] for id in ids] == ["1"] * 6 + ["2", "3"]
    assert len({body for _, _, body in receiver.got[:6]}) == 1
    times = [int(headers["x-arbstr-timestamp"]) for _, headers, _ in receiver.got]
    assert [later - sooner for sooner, later in itertools.pairwise(times)] == [2, 4, 8, 16, 32, 0, 0]


def test_what_is_sent_is_signed_with_its_time(tmp_path):
    clock = Clock()
    receiver = Receiver()

    async def story():
        async with told(tmp_path, clock) as vault, receiver.serving() as url:
            await tell(vault, "1")
            hook, sender = notifier(vault, url, clock)
            await sender.step()
            await hook.aclose()

    asyncio.run(story())
    line, headers, body = receiver.got[0]
    assert line == "POST /hook?key=hunter2 HTTP/1.1"
    signed = headers["x-arbstr-timestamp"].encode() + b"." + body
    expected = hmac.new(b"a secret of both", signed, hashlib.sha256).hexdigest()
    assert headers["x-arbstr-signature"] == f"sha256={expected}"
    assert headers["x-arbstr-timestamp"] == str(clock.ms // 1000)
    assert (headers["content-type"], headers["x-arbstr-event"]) == ("application/json", "approval_required")
    event = json.loads(body)
    assert (event["id"], event["event"], event["created_ms"]) == (f"evt_{clock.ms:x}_1", "approval_required", clock.ms)
    assert (event["data"]["agent"], event["data"]["ceiling_msat"]) == ("ag_a", 200)
    assert signature(SECRET, clock.ms // 1000 + 1, body) != headers["x-arbstr-signature"]


def test_an_endpoint_that_is_dead_never_holds_up_the_ledger(tmp_path):
    """And what could not be said is said after a restart, when somebody listens again."""
    clock = Clock()
    dead = f"http://127.0.0.1:{free_port()}/"

    async def story():
        async with told(tmp_path, clock) as vault:
            await tell(vault, "1")
            hook, sender = notifier(vault, dead, clock)
            for _ in range(20):
                clock.ms += int(await sender.step() * 1000)
            await tell(vault, "2")
            await hook.aclose()
            first = await vault.next_event()
            assert first.last_error == "no answer (ConnectError)"
            assert 3 <= first.attempts < 20
        receiver = Receiver()
        async with told(tmp_path, clock, boot="boot-2") as vault, receiver.serving() as url:
            hook, sender = notifier(vault, url, clock)
            while await vault.next_event() is not None:
                clock.ms += int(await sender.step() * 1000)
            await hook.aclose()
        assert [json.loads(body)["id"].rpartition("_")[2] for _, _, body in receiver.got] == ["1", "2"]

    asyncio.run(story())


def test_what_was_sent_just_before_a_crash_comes_again(tmp_path):
    clock = Clock()
    receiver = Receiver()

    class Crash(BaseException):
        pass

    async def story():
        async with told(tmp_path, clock) as vault, receiver.serving() as url:
            await tell(vault, "1")
            hook = Webhook(url)

            async def post_and_crash(headers, body):
                await hook(headers, body)
                raise Crash

            with pytest.raises(Crash):
                await Notifier(vault, post_and_crash, clock, secret=SECRET, lead=yes).step()
            await Notifier(vault, hook, clock, secret=SECRET, lead=yes).step()
            assert await vault.next_event() is None
            await hook.aclose()

    asyncio.run(story())
    assert [json.loads(body)["id"].rpartition("_")[2] for _, _, body in receiver.got] == ["1", "1"]


def test_a_queue_that_is_full_does_not_end_it(tmp_path):
    async def story():
        clock, receiver = Clock(), Receiver("500 No")
        async with told(tmp_path, clock) as vault, receiver.serving() as url:
            await tell(vault, "1")

            async def full(*_, **__):
                del vault.not_delivered
                raise Overloaded("4096 writes are waiting")

            vault.not_delivered = full
            hook, sending = notifier(vault, url, clock)
            working = asyncio.create_task(sending.run())
            while len(receiver.got) < 2 and not working.done():
                await asyncio.sleep(0.01)
            assert len(receiver.got) == 2
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            await hook.aclose()

    asyncio.run(story())


def test_only_the_events_that_are_wanted_are_sent(tmp_path):
    clock = Clock()
    receiver = Receiver()

    async def story():
        async with told(tmp_path, clock) as vault, receiver.serving() as url:
            await tell(vault, "1")
            (approval,) = await vault.approvals()
            await vault.decide(approval.id, grant=True, actor="operator")
            hook, sender = notifier(vault, url, clock, events=frozenset({"approval_granted"}))
            while await vault.next_event() is not None:
                await sender.step()
            await hook.aclose()

    asyncio.run(story())
    assert [headers["x-arbstr-event"] for _, headers, _ in receiver.got] == ["approval_granted"]


def test_nothing_is_sent_while_another_process_does(tmp_path):
    clock = Clock()

    async def no():
        return False

    async def story():
        async with told(tmp_path, clock) as vault:
            await tell(vault, "1")
            _, sender = notifier(vault, "http://127.0.0.1:1/", clock, lead=no)
            assert await sender.step() == 1.0
            assert (await vault.next_event()).attempts == 0

    asyncio.run(story())


def test_one_process_at_a_time_has_the_turn(tmp_path, postgres_url):
    clock = Clock()

    async def story():
        folders = [tmp_path / name for name in ("first", "second")]
        for folder in folders:
            folder.mkdir()
        opened = [Database.open(postgres_url, data_dir=folder, clock=clock, schemas=[schema()]) for folder in folders]
        try:
            first, second = (
                Turn(Vault(db, boot_id=db_folder.name), clock) for db, db_folder in zip(opened, folders, strict=True)
            )
            assert await first()
            assert not await second()
            assert await first()
            clock.ms += 31_000
            assert await first()
            assert not await second()
        finally:
            for db in opened:
                await db.close()

    asyncio.run(story())


def test_a_webhook_never_says_where_it_goes():
    async def story():
        hook = Webhook("http://127.0.0.1:1/hunter2")
        with pytest.raises(NotDelivered) as failed:
            await hook({}, b"")
        await hook.aclose()
        assert "hunter2" not in str(failed.value)

    asyncio.run(story())
    with pytest.raises(AddressRefused):
        Webhook("file:///etc/passwd")


def test_pauses_grow_to_a_quarter_of_an_hour():
    assert [wait_seconds(n) for n in (1, 2, 3, 8, 9, 10, 10_000)] == [2, 4, 8, 256, 512, 900, 900]
