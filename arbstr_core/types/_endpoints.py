"""Where a call goes in, and what it may need of a model."""

from __future__ import annotations

import enum


class Endpoint(enum.StrEnum):
    """An endpoint that arbstr serves, OpenAI's or Anthropic's; the value is the path below `/v1`."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    MESSAGES = "messages"


class Feature(enum.StrEnum):
    """What a call may need of a model beyond text in and text out."""

    TOOLS = "tools"
    JSON = "json"
    VISION = "vision"
    AUDIO = "audio"
