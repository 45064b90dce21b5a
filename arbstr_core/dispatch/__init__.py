"""Opens a provider's reply: tries candidates in order until one answers its first byte, and keeps how each has done."""

from arbstr_core.dispatch._dispatch import Dispatch, OpenReply

__all__ = ["Dispatch", "OpenReply"]
