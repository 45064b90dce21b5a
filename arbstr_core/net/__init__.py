"""Outgoing HTTP: the fast client for inference, the client for everything else, and the guard both go through."""

from arbstr_core.net._fetch import Fetcher, control_client
from arbstr_core.net._guard import Guard, Origin, origins_in
from arbstr_core.net._upstream import UpstreamPools
from arbstr_core.net._webhook import Webhook

__all__ = ["Fetcher", "Guard", "Origin", "UpstreamPools", "Webhook", "control_client", "origins_in"]
