"""The audit's way out of the house: checkpoints that are signed and told elsewhere, and agents' statements."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from arbstr_core.api import Clock
from arbstr_core.storage import Signer, is_signed, key_id_of, open_signer
from arbstr_core.types import ArbstrError
from arbstr_core.vault import Checkpoint, KnownCheckpoint, Mark, Statement, Vault

_log = logging.getLogger("arbstr.audit")

_LOOK_SECONDS = 10.0
_CHECKPOINTS = 10_000
"""how many of the newest are looked at"""
_MARKS = msgspec.json.Decoder(Mark)


async def audit_signer(vault: Vault, path: Path) -> Signer:
    """The signer of the key in `path`, which all processes on one database share; made by the first of them.

    Raises StorageError where this database is signed with another key.
    """
    signing = await vault.signing_key_id()
    signer = open_signer(path, signing)
    # Another process may have been first since, with a key of its own.
    return open_signer(path, await vault.adopt_audit_key(signer.public))


class Anchor(Protocol):
    """A place outside of the machine's write path that checkpoints are told to."""

    name: str

    async def tell(self, line: bytes) -> None:
        """Keep `line`, one checkpoint as JSON. Raises OSError or ArbstrError where it was not kept."""


class AuditFlow:
    """Makes checkpoints every `every_seconds`, or after `every_rows` rows of the audit, and tells them to all anchors.

    What an anchor did not take is told again, in order, before anything newer.
    """

    def __init__(
        self,
        vault: Vault,
        signer: Signer,
        anchors: Sequence[Anchor],
        clock: Clock,
        *,
        every_seconds: float,
        every_rows: int,
    ) -> None:
        self._vault = vault
        self._signer = signer
        self._clock = clock
        self._every_seconds = every_seconds
        self._every_rows = every_rows
        self._untold: list[tuple[Anchor, list[bytes]]] = [(anchor, []) for anchor in anchors]
        self._last: Mark | None = None

    async def run(self) -> None:
        """Do it for ever."""
        while True:
            try:
                await self.checkpoint(only_if_due=True)
            except ArbstrError as broken:
                _log.error("no checkpoint of the audit could be made: %s", broken)
            await self._clock.sleep(_LOOK_SECONDS)

    async def checkpoint(self, *, only_if_due: bool = False) -> Checkpoint | None:
        """A checkpoint of the audit as it is now; None where it is empty, or nothing is due."""
        made = mark = None
        if not only_if_due or self._due(await self._vault.audit_end()):
            mark = await self._vault.mark(self._clock.now_ms())
        if mark is not None:
            made = self._signed(mark)
            if await self._vault.write_checkpoint(mark, made):
                line = msgspec.json.encode(made)
                for _, waiting in self._untold:
                    waiting.append(line)
            self._last = mark
        await self._tell()
        return made

    def _due(self, seq: int) -> bool:
        last = self._last
        if last is None:
            return True
        grown, age = seq - last.seq, self._clock.now_ms() - last.at_ms
        return grown >= self._every_rows or (grown > 0 and age >= self._every_seconds * 1000)

    def _signed(self, mark: Mark) -> Checkpoint:
        body = msgspec.json.encode(mark)
        return Checkpoint(
            body=body.decode(),
            key_id=self._signer.key_id,
            public_key=self._signer.public.hex(),
            signature=self._signer.sign(body).hex(),
        )

    async def _tell(self) -> None:
        for anchor, waiting in self._untold:
            while waiting:
                try:
                    await anchor.tell(waiting[0])
                except (ArbstrError, OSError) as broken:
                    _log.error("the anchor %s did not take a checkpoint, it is told again: %s", anchor.name, broken)
                    break
                waiting.pop(0)

    # Proof

    async def verify(
        self, anchored: Sequence[tuple[str, str]] = (), *, public_key: bytes | None = None
    ) -> dict[str, Any]:
        """Replay the ledger, and hold it against its own checkpoints and those that were anchored elsewhere
        (body and signature in hex).

        Those must be signed with `public_key` (32 bytes); None: with the key that signs here.
        """
        known, wrong = [], None
        public = self._signer.public if public_key is None else public_key
        for body, signature in [*await self._kept(), *anchored]:
            try:
                known.append(_known(body, bytes.fromhex(signature), public))
            except ValueError as bad:
                wrong = wrong or f"a checkpoint {bad}"
        found = await self._vault.verify(known)
        shown = msgspec.structs.asdict(found)
        if wrong is not None and found.first_bad is None:
            shown |= {"ok": False, "first_bad": wrong}
        return {**shown, "checkpoints": len(known)}

    async def _kept(self) -> list[tuple[str, str]]:
        kept = await self._vault.checkpoints(_CHECKPOINTS)
        return [(body, signature.hex()) for body, _, signature in kept]

    async def checkpoints(self) -> list[dict[str, Any]]:
        """The newest checkpoints, newest first."""
        kept = await self._vault.checkpoints(_CHECKPOINTS)
        return [
            {**msgspec.json.decode(body), "key_id": key_id, "signature": signature.hex()}
            for body, key_id, signature in kept
        ]

    # Statements

    async def statement(self, agent_id: str, since_ms: int | None, until_ms: int | None) -> dict[str, Any]:
        """{statement, key_id, public_key, signature}: the signature is over the text of the statement."""
        made = await self._vault.statement(agent_id, since_ms, until_ms, self._clock.now_ms())
        return self._signed_text(msgspec.json.encode(made).decode())

    async def statement_csv(self, agent_id: str, since_ms: int | None, until_ms: int | None) -> dict[str, Any]:
        """The same with the statement's lines as CSV; its first lines say what it is of."""
        made = await self._vault.statement(agent_id, since_ms, until_ms, self._clock.now_ms())
        return self._signed_text(_csv(made))

    def _signed_text(self, text: str) -> dict[str, Any]:
        return {
            "statement": text,
            "key_id": self._signer.key_id,
            "public_key": self._signer.public.hex(),
            "signature": self._signer.sign(text.encode()).hex(),
        }


def _known(body: str, signature: bytes, public: bytes) -> KnownCheckpoint:
    """Raises ValueError for what is not signed, or is no mark."""
    if not is_signed(public, body.encode(), signature):
        raise ValueError(f"is not signed with the key {key_id_of(public)}: {body[:200]}")
    try:
        said = _MARKS.decode(body)
    except msgspec.MsgspecError as broken:
        raise ValueError(f"cannot be read ({broken}): {body[:200]}") from None
    return KnownCheckpoint(
        audit_seq=said.seq, hash=bytes.fromhex(said.hash), holds=said.holds, transfers=said.transfers
    )


def _csv(statement: Statement) -> str:
    head = {name: value for name, value in msgspec.structs.asdict(statement).items() if name != "lines"}
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    for name, value in head.items():
        write([f"# {name}", _inert(value)])
    columns = ("transfer", "at_ms", "kind", "amount_msat", "balance_msat", "call", "agent", "model", "reference")
    write(columns)
    for line in statement.lines:
        write([_inert(getattr(line, name)) for name in columns])
    return out.getvalue()


def _inert(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula is led by an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
