"""Why a call to the node gave no answer."""

from __future__ import annotations

import grpc


class NodeError(Exception):
    """A call that failed: with LND's own answer, or with none. Money decisions look at `code`, never at the text."""

    def __init__(self, path: str, code: grpc.StatusCode, text: str) -> None:
        super().__init__(f"{path.rpartition('/')[2]}: {text} ({code.name})")
        self.code = code
        self.text = text

    @property
    def not_found(self) -> bool:
        """LND says that it knows no such payment or invoice."""
        return self.code is grpc.StatusCode.NOT_FOUND


class CredentialsMissing(NodeError):
    """There is nothing to call with: the certificate or the macaroon is absent or unreadable."""

    def __init__(self, text: str) -> None:
        super().__init__("", grpc.StatusCode.UNAUTHENTICATED, text)
        self.args = (text,)
