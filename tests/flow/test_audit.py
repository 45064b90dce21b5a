"""Checkpoints are signed, kept, and told to every anchor; a statement can be checked by anyone with the public key."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shutil
from contextlib import asynccontextmanager

import msgspec
import pytest

from arbstr_core.flow import AuditFlow, FileAnchor, UrlAnchor, audit_signer
from arbstr_core.storage import Database, is_signed, key_id_of, open_signer
from arbstr_core.types import NotFound, StorageError
from arbstr_core.vault import HoldRequest, Limits, NewAgent, Settlement, Vault, schema


class StillClock:
    ms = 1_750_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class Broken:
    """An anchor that takes nothing until it is mended."""

    name = "broken"

    def __init__(self) -> None:
        self.took: list[bytes] = []
        self.works = False

    async def tell(self, line: bytes) -> None:
        if not self.works:
            raise StorageError("the anchor is away")
        self.took.append(line)


class Made:
    def __init__(self, folder, vault, clock, anchors):
        self.vault = vault
        self.clock = clock
        self.signer = open_signer(folder / "audit.key")
        self.flow = AuditFlow(vault, self.signer, anchors, clock, every_seconds=3600, every_rows=10)

    async def call(self, number, charge):
        request = HoldRequest(id=f"req_{number}", agent="ag_a", ceilings=(900,), candidates=b"[]", model="m")
        await self.vault.hold(request)
        await self.vault.settle(Settlement(id=request.id, charge_msat=charge, costs=(), receipt=b"{}"))


@asynccontextmanager
async def made(folder, anchors=(), url="sqlite:///arbstr.db"):
    clock = StillClock()
    db = Database.open(url, data_dir=folder, clock=clock, schemas=[schema()])
    try:
        vault = Vault(db, boot_id="boot-1")
        limits = Limits(max_charge_msat=5_000, daily_msat=50_000)
        agent = NewAgent(
            id="ag_a", name="=a", realm="sim", token_hash=bytes(32), limits=limits, fund_msat=10_000, rail="simulated"
        )
        await vault.create_agent(agent)
        yield Made(folder, vault, clock, anchors)
    finally:
        await db.close()


def test_a_checkpoint_is_signed_and_says_where_the_audit_ends(tmp_path):
    async def story():
        async with made(tmp_path) as house:
            await house.call(1, 500)
            checkpoint = await house.flow.checkpoint()
            verification = await house.vault.verify()
            return checkpoint, verification, house.signer.public

    checkpoint, verification, public = asyncio.run(story())
    body = json.loads(checkpoint.body)
    assert (body["seq"], body["holds"], body["transfers"]) == (verification.audit_rows, 1, verification.transfers)
    assert is_signed(public, checkpoint.body.encode(), bytes.fromhex(checkpoint.signature))
    assert bytes.fromhex(checkpoint.public_key) == public
    assert key_id_of(public) == checkpoint.key_id
    assert not is_signed(
        public, checkpoint.body.replace('"holds":1', '"holds":2').encode(), bytes.fromhex(checkpoint.signature)
    )


def test_the_key_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "audit.key"
    first = open_signer(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert open_signer(path).public == first.public
    path.write_text("not a key")
    with pytest.raises(StorageError, match="does not hold an audit key of 32 bytes"):
        open_signer(path)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    return "sqlite:///arbstr.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def test_processes_on_one_database_share_the_key(tmp_path, url):
    """Nobody signs with a key that the others do not know."""
    own, others = tmp_path / "audit.key", tmp_path / "others"
    others.mkdir()

    async def story():
        async with made(tmp_path, url=url) as house:
            first = await audit_signer(house.vault, own)
            assert (await audit_signer(house.vault, own)).key_id == first.key_id == await house.vault.signing_key_id()
            with pytest.raises(StorageError, match=f"is signed with audit key {first.key_id}: copy audit.key from"):
                await audit_signer(house.vault, others / "audit.key")
            assert not (others / "audit.key").exists()
            wrong = open_signer(others / "audit.key")
            with pytest.raises(StorageError, match=f"is audit key {wrong.key_id}, and this database is signed with"):
                await audit_signer(house.vault, others / "audit.key")
            # As where both start at the same moment, and the other was first.
            assert await house.vault.adopt_audit_key(wrong.public) == first.key_id
            (others / "audit.key").unlink()
            shutil.copy(own, others)
            assert (await audit_signer(house.vault, others / "audit.key")).public == first.public
            assert (await house.vault.verify()).first_bad is None

    asyncio.run(story())


def test_a_database_whose_key_was_never_written_down_is_signed_by_the_one_of_its_checkpoints(tmp_path):
    async def story():
        async with made(tmp_path) as house:
            await house.call(1, 500)
            await house.flow.checkpoint()
            with pytest.raises(StorageError, match=f"is signed with audit key {house.signer.key_id}"):
                await audit_signer(house.vault, tmp_path / "other.key")
            assert (await audit_signer(house.vault, tmp_path / "audit.key")).key_id == house.signer.key_id

    asyncio.run(story())


def test_the_ledger_is_counted_for_a_checkpoint_alone(tmp_path, monkeypatch):
    """To count takes as long as the ledger is large, and whether a checkpoint is due is asked every ten seconds."""
    counted = []

    async def story():
        async with made(tmp_path) as house:
            whole = house.vault.mark

            async def mark(now_ms):
                counted.append(now_ms)
                return await whole(now_ms)

            monkeypatch.setattr(house.vault, "mark", mark)
            for _ in range(5):
                await house.flow.checkpoint(only_if_due=True)
            assert len(counted) == 1
            await house.call(1, 500)
            await house.flow.checkpoint(only_if_due=True)
            assert len(counted) == 1
            await house.flow.checkpoint()
            assert len(counted) == 2

    asyncio.run(story())


def test_checkpoints_come_when_they_are_due(tmp_path):
    async def story():
        async with made(tmp_path) as house:
            assert await house.flow.checkpoint(only_if_due=True) is not None
            assert await house.flow.checkpoint(only_if_due=True) is None
            await house.call(1, 500)
            assert await house.flow.checkpoint(only_if_due=True) is None
            house.clock.ms += 3_600_000
            assert await house.flow.checkpoint(only_if_due=True) is not None
            house.clock.ms += 3_600_000
            assert await house.flow.checkpoint(only_if_due=True) is None  # nothing happened since
            for number in range(2, 8):
                await house.call(number, 1)
            assert await house.flow.checkpoint(only_if_due=True) is not None
            return await house.vault.checkpoints(10)

    kept = asyncio.run(story())
    assert len(kept) == 3
    assert [json.loads(body)["seq"] for body, _, _ in kept] == sorted(
        (json.loads(body)["seq"] for body, _, _ in kept), reverse=True
    )


def test_an_anchor_gets_everything_in_order_once_it_is_back(tmp_path):
    broken, file = Broken(), FileAnchor(tmp_path / "anchor.log")

    async def story():
        async with made(tmp_path, [broken, file]) as house:
            for number in range(3):
                await house.call(number, 1)
                await house.flow.checkpoint()
            assert broken.took == []
            broken.works = True
            await house.flow.checkpoint()

    asyncio.run(story())
    lines = (tmp_path / "anchor.log").read_bytes().splitlines()
    assert broken.took == lines
    assert len(lines) == 3
    seqs = [json.loads(json.loads(line)["body"])["seq"] for line in lines]
    assert seqs == sorted(set(seqs))


def test_anchors_of_one_host_are_told_apart_and_their_addresses_are_not_logged(tmp_path, caplog):
    """A secret may be part of an address."""
    anchors = [UrlAnchor(f"http://127.0.0.1:1/{path}?key=hidden") for path in ("hidden-one", "hidden-two")]

    async def story():
        async with made(tmp_path, anchors) as house:
            await house.flow.checkpoint()

    asyncio.run(story())
    assert caplog.text.count("the anchor 127.0.0.1 did not take a checkpoint") == 2
    assert "hidden" not in caplog.text


def test_a_statement_adds_up_and_can_be_checked_by_a_stranger(tmp_path):
    async def story():
        async with made(tmp_path) as house:
            await house.call(1, 500)
            since = house.clock.ms = house.clock.ms + 1_000
            await house.call(2, 0)
            await house.call(3, 40)
            until = house.clock.ms = house.clock.ms + 1_000
            await house.call(4, 7)
            signed = await house.flow.statement("ag_a", since, until)
            sheet = await house.flow.statement_csv("ag_a", None, None)
            with pytest.raises(NotFound, match="there is no agent ag_b with an account"):
                await house.flow.statement("ag_b", None, None)
            return signed, sheet

    signed, sheet = asyncio.run(story())
    for made_of in (signed, sheet):
        public, signature = bytes.fromhex(made_of["public_key"]), bytes.fromhex(made_of["signature"])
        assert is_signed(public, made_of["statement"].encode(), signature)
        assert not is_signed(public, made_of["statement"].encode() + b" ", signature)
    statement = json.loads(signed["statement"])
    assert (statement["opening_msat"], statement["closing_msat"]) == (9_500, 9_460)
    assert [(line["call"], line["amount_msat"], line["balance_msat"]) for line in statement["lines"]] == [
        ("req_3", -40, 9_460)
    ]
    rows = list(csv.reader(io.StringIO(sheet["statement"])))
    head, columns, lines = rows[:10], rows[10], rows[11:]
    assert ["# closing_msat", "9453"] in head
    assert columns[3:5] == ["amount_msat", "balance_msat"]
    assert sum(int(line[3]) for line in lines) == 9_453
    assert [line[5] for line in lines] == ["", "req_1", "req_3", "req_4"]


def test_what_a_spreadsheet_would_compute_is_inert(tmp_path):
    async def story():
        async with made(tmp_path) as house:
            request = HoldRequest(id="req_1", agent="ag_a", ceilings=(9,), candidates=b"[]", model="=1+1")
            await house.vault.hold(request)
            await house.vault.settle(Settlement(id="req_1", charge_msat=9, costs=(), receipt=b"{}"))
            return await house.flow.statement_csv("ag_a", None, None)

    rows = list(csv.reader(io.StringIO(asyncio.run(story())["statement"])))
    assert rows[-1][7] == "'=1+1"
    assert ["# name", "'=a"] in rows


def test_marks_are_what_they_say(tmp_path):
    async def story():
        async with made(tmp_path) as house:
            mark = await house.vault.mark(5)
            again = msgspec.json.decode(msgspec.json.encode(mark), type=type(mark))
            assert again == mark
            return mark

    mark = asyncio.run(story())
    assert (mark.holds, mark.entries, mark.at_ms, len(mark.hash), len(mark.ledger)) == (0, 4, 5, 64, 64)
