"""The order of things and nothing else: the way of a call, and what the operator asks for."""

from arbstr_core.flow._anchors import FileAnchor, SyslogAnchor, UrlAnchor
from arbstr_core.flow._exchange import Exchange
from arbstr_core.flow._heartbeat import Heartbeat
from arbstr_core.flow._lease import Lease
from arbstr_core.flow._rooms import CallRooms
from arbstr_core.flow._sealer import keep_sealing
from arbstr_core.flow.admin import AdminFlow
from arbstr_core.flow.approval import Approvals
from arbstr_core.flow.audit import Anchor, AuditFlow
from arbstr_core.flow.call import CallFlow
from arbstr_core.flow.notify import Notifier

__all__ = [
    "AdminFlow",
    "Anchor",
    "Approvals",
    "AuditFlow",
    "CallFlow",
    "CallRooms",
    "Exchange",
    "FileAnchor",
    "Heartbeat",
    "Lease",
    "Notifier",
    "SyslogAnchor",
    "UrlAnchor",
    "keep_sealing",
]
