"""Doors: the OpenAI API as raw ASGI, those of operators, agents' wallets and other routers as FastAPI."""

from arbstr_core.web._chat import ChatDoor
from arbstr_core.web._control import ControlFlows, control_plane
from arbstr_core.web._front import Front
from arbstr_core.web._models import ModelsDoor
from arbstr_core.web._protocol import HttpProtocol
from arbstr_core.web._request import read_call

__all__ = ["ChatDoor", "ControlFlows", "Front", "HttpProtocol", "ModelsDoor", "control_plane", "read_call"]
