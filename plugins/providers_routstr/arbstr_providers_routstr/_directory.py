"""Owns which nodes there are beside those of the configuration: what relays have, and what nodes say of each other.

What a relay said last stays while it does not answer; a node that nobody has named for a day is none to buy at any
more. What is found is a claim of strangers: only public https addresses are ever asked; the kernel's guard sees to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from arbstr_core.api import ProviderError, Tools
from arbstr_providers_routstr._config import Config, node_name, node_url
from arbstr_providers_routstr._node_api import NodeApi
from arbstr_providers_routstr._nostr import Announcement, Forged, newest, read_event
from arbstr_providers_routstr._records import DIRECTORY, write
from arbstr_providers_routstr._relay import announcements

_FORGET_MS = 24 * 3600 * 1000
_MOST_URLS = 4


class Found(msgspec.Struct, kw_only=True):
    """A node that was found: where it is, and when somebody named it last, Unix time; which announcement that was, and
    when it was made, where it was one."""

    url: str
    seen_ms: int
    by: str = ""
    made_s: int = 0


class Listed(msgspec.Struct, kw_only=True):
    """The directory as it is kept, by name."""

    nodes: dict[str, Found] = {}


class Directory:
    """See the module."""

    def __init__(self, config: Config, tools: Tools) -> None:
        self._config = config
        self._tools = tools
        self._listed = Listed()
        self._loaded = False
        self._remarks: dict[str, str] = {}
        self.asked_ms = 0

    @property
    def due(self) -> bool:
        """True where it is time to ask again."""
        seconds = self._config.directory_seconds
        wanted = bool(self._config.relays) or self._config.ask_nodes
        return wanted and self._tools.clock.now_ms() - self.asked_ms >= seconds * 1000

    def remarks(self) -> Mapping[str, str]:
        """Which relays do not answer, and what of theirs was refused."""
        return dict(self._remarks)

    async def load(self) -> dict[str, str]:
        """The nodes that are known, by name, with their URLs."""
        if not self._loaded:
            kept = await self._tools.store.get(DIRECTORY)
            if kept is not None:
                self._listed = msgspec.json.decode(kept, type=Listed)
            self._loaded = True
        return {name: found.url for name, found in self._listed.nodes.items()}

    async def refresh(self) -> dict[str, str]:
        """Ask every relay, and nodes of the configuration; the nodes that are known then."""
        await self.load()
        now_ms = self.asked_ms = self._tools.clock.now_ms()
        self._remarks = {}
        try:
            said = await asyncio.gather(*(self._of_relay(url) for url in self._config.relays))
            announced = newest(announcement for found in said for announcement in found)
            heard: list[str] = []
            if self._config.ask_nodes:
                others = await asyncio.gather(*map(self._of_node, self._config.nodes))
                heard = [url for found in others for url in found]
        except asyncio.CancelledError:
            self.asked_ms = 0
            raise
        before = self._listed.nodes.keys()
        for announcement in self._renewed(announced):
            self._note(announcement.urls, now_ms, announcement)
        for url in heard:
            self._note((url,), now_ms)
        # Newcomers, however many, push out nobody who is still there.
        kept = sorted(self._listed.nodes.items(), key=lambda item: (-item[1].seen_ms, item[0] not in before))
        fresh = [(name, found) for name, found in kept if now_ms - found.seen_ms < _FORGET_MS]
        self._listed.nodes = dict(fresh[: self._config.most_nodes])
        if len(fresh) > self._config.most_nodes:
            self._remarks["directory"] = f"it has {len(fresh)} nodes; {self._config.most_nodes} are looked at"
        await write(self._tools.store, DIRECTORY, self._listed)
        return await self.load()

    async def _of_relay(self, url: str) -> Sequence[Announcement]:
        try:
            events = await announcements(self._tools, url)
        except ProviderError as failed:
            self._remarks[f"relay {url}"] = str(failed)
            return ()
        found, forged = self._read(events)
        if forged:
            self._remarks[f"relay {url}"] = f"{len(forged)} of its events were refused: {forged[0]}"
        return found

    def _read(self, events: Iterable[Any]) -> tuple[list[Announcement], list[str]]:
        now_s = self._tools.clock.now_ms() // 1000
        found, forged = [], []
        for event in events:
            try:
                announcement = read_event(event, now_s)
            except Forged as why:
                forged.append(str(why))
                continue
            if announcement is not None:
                found.append(announcement)
        return found, forged

    async def _of_node(self, url: str) -> Sequence[str]:
        try:
            return await NodeApi(self._tools, node_url(url)).others()
        except ProviderError as failed:
            self._remarks[f"list of {node_name(url)}"] = str(failed)
            return ()

    def _renewed(self, announced: Sequence[Announcement]) -> list[Announcement]:
        """Those that are not older than what is known of the same node; where it has been before it is no more."""
        known: dict[str, int] = {}
        for found in self._listed.nodes.values():
            known[found.by] = max(found.made_s, known.get(found.by, 0))
        fresh = [each for each in announced if each.created_at >= known.get(_by(each), each.created_at)]
        moved = {_by(each) for each in fresh}
        self._listed.nodes = {name: found for name, found in self._listed.nodes.items() if found.by not in moved}
        return fresh

    def _note(self, urls: Sequence[str], now_ms: int, of: Announcement | None = None) -> None:
        """The first address that can be bought at; where there is none, that is said."""
        why = "it names no address"
        for url in urls[:_MOST_URLS]:
            refused = _unfit(url)
            if not refused:
                found = Found(url=node_url(url), seen_ms=now_ms)
                if of is not None:
                    found.by, found.made_s = _by(of), of.created_at
                self._listed.nodes[node_name(url)] = found
                return
            why = refused
        shown = urls[0][:60] if urls and urls[0].isprintable() else "?"
        self._remarks[shown] = f"it is not asked: {why}"


def _by(announcement: Announcement) -> str:
    return f"{announcement.pubkey}:{announcement.name}"


def _unfit(url: str) -> str:
    """Why an address that strangers named is not asked; empty where the guard is to decide."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what raises
    except ValueError:
        return "its address is none"
    if parts.scheme != "https" or not parts.hostname:
        return "its address is not https"
    if parts.username is not None or parts.query or parts.fragment or not url.isprintable() or len(url) > 200:
        return "its address is none that stands for a node"
    return "its address is in the onion network" if parts.hostname.endswith(".onion") else ""
