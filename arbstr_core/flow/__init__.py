"""The order of things and nothing else: the way of a call, and what the operator asks for."""

from arbstr_core.flow._exchange import Exchange
from arbstr_core.flow._heartbeat import Heartbeat
from arbstr_core.flow._lease import Lease
from arbstr_core.flow._rooms import CallRooms
from arbstr_core.flow.admin import AdminFlow
from arbstr_core.flow.call import CallFlow

__all__ = ["AdminFlow", "CallFlow", "CallRooms", "Exchange", "Heartbeat", "Lease"]
