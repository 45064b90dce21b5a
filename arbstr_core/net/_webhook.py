"""Posts to the operator's own address: whatever stands in the configuration may be connected to, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from arbstr_core.net._fetch import control_client
from arbstr_core.net._guard import Guard, origin_of
from arbstr_core.types import AddressRefused, NotDelivered


class Webhook:
    """One address, which answers with a status from 200 to 299 what has arrived. Redirects are refused.

    Raises AddressRefused where `url` is no http or https URL.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        self._url = url
        self._client = control_client(Guard(frozenset({origin_of(url)})), timeout_seconds=timeout_seconds)

    async def __call__(self, headers: Mapping[str, str], body: bytes) -> None:
        """Post. Raises NotDelivered with the reason, which never holds the address: a secret may be part of it."""
        try:
            async with self._client.stream("POST", self._url, headers=dict(headers), content=body) as answer:
                status = answer.status_code
        except httpx.TimeoutException as slow:
            raise NotDelivered(f"no answer in time ({type(slow).__name__})") from slow
        except (httpx.HTTPError, httpx.InvalidURL, AddressRefused) as failed:
            raise NotDelivered(f"no answer ({type(failed).__name__})") from failed
        if not 200 <= status < 300:
            raise NotDelivered(f"the answer was {status}")

    async def aclose(self) -> None:
        """Let go of its connections."""
        await self._client.aclose()
