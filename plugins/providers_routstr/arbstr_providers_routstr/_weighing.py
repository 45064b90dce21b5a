"""Owns what is made of a call's end: a node's words are held against the quote, what was seen, and what others say."""

from __future__ import annotations

from collections.abc import Mapping

from arbstr_core.api import MsatPrice, Offer, Tools
from arbstr_providers_routstr._calls import Asked, about, size
from arbstr_providers_routstr._config import Config
from arbstr_providers_routstr._node import Node
from arbstr_providers_routstr._replies import Said
from arbstr_providers_routstr._word import Word, reputation
from arbstr_providers_routstr._word import judge as verdict


class Weighing:
    """See the module. `nodes` are all that there are, by name, whoever adds to them."""

    def __init__(self, config: Config, tools: Tools, nodes: Mapping[str, Node]) -> None:
        self._config = config
        self._tools = tools
        self._nodes = nodes

    def reputation(self, node: Node, model: str) -> float:
        """How far a node's word holds for a model."""
        elsewhere = any(
            other.catalogue is not None and other.catalogue.price_of(model) is not None
            for other in self._nodes.values()
            if other is not node and other.listed and not other.record.word.broken and not other.failing
        )
        return reputation(node.record.word, model, self._words(node), sold_elsewhere=elsewhere)

    def _words(self, node: Node) -> list[Word]:
        return [other.record.word for other in self._nodes.values() if other is not node]

    def weigh(self, node: Node, offer: Offer, asked: Asked, said: Said) -> None:
        """A call has ended at a node, with these words."""
        usage, word = said.usage, node.record.word
        if word.broken:
            return
        quoted = self._quoted(offer, asked, said)
        if said.cost_msat is not None and quoted is not None and word.took(said.cost_msat, quoted):
            node.asked_ms = 0  # its prices are read again before the next offer
        if usage is not None:
            shown = about(said.text_bytes) if self._plain(offer, said) and said.text_bytes else None
            word.used(
                offer.model,
                asked=asked.tokens,
                reported_in=usage.input_tokens,
                shown=shown,
                reported_out=usage.output_tokens,
            )
        self.judge()
        node.unsaved = True

    def _plain(self, offer: Offer, said: Said) -> bool:
        """Whether all that came out was shown, as text."""
        return said.whole and not said.tools and not self._config.hides(offer.model)

    def _quoted(self, offer: Offer, asked: Asked, said: Said) -> int | None:
        """What a call may cost, by what was quoted and the node's own usage. Where it names none, by the text: a token
        is at least a byte; None where there was more than text."""
        usage, price = said.usage, offer.price
        assert isinstance(price, MsatPrice), "what is sold here has a price in msat"
        if usage is not None:
            return price.cost(
                input_tokens=usage.input_tokens,
                cached_input_tokens=min(usage.cached_input_tokens, usage.input_tokens),
                output_tokens=usage.output_tokens,
            )
        if asked.tokens is None or not self._plain(offer, said):
            return None
        return price.cost(input_tokens=size(asked.tokens), output_tokens=said.text_bytes)

    def judge(self) -> None:
        """Whom not to buy from any more. A call at one node tells of others, too."""
        for node in self._nodes.values():
            if not node.record.word.broken:
                node.record.word.broken = verdict(node.record.word, self._words(node))
                if node.record.word.broken:
                    node.unsaved = True
                    self._tools.log.warning("%s: %s; its money is taken back", node.name, node.record.word.broken)
