"""Doors: those of calls as raw ASGI, those of operators, agents' wallets and other routers as FastAPI."""

from arbstr_core.web._admin_house import Present
from arbstr_core.web._calls import CallDoor
from arbstr_core.web._closed import ClosedDoor
from arbstr_core.web._control import ControlFlows, control_plane
from arbstr_core.web._front import Front
from arbstr_core.web._models import ModelsDoor
from arbstr_core.web._protocol import HttpProtocol
from arbstr_core.web._sites import Sites

__all__ = [
    "CallDoor",
    "ClosedDoor",
    "ControlFlows",
    "Front",
    "HttpProtocol",
    "ModelsDoor",
    "Present",
    "Sites",
    "control_plane",
]
