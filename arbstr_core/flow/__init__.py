"""The order of things and nothing else: the way of a call, and what operators, agents and other routers ask for."""

from arbstr_core.flow._anchors import FileAnchor, SyslogAnchor, UrlAnchor
from arbstr_core.flow._bills import Bills
from arbstr_core.flow._bringing import Bringing
from arbstr_core.flow._exchange import Exchange
from arbstr_core.flow._heartbeat import Heartbeat
from arbstr_core.flow._incoming import Incoming
from arbstr_core.flow._keys import Keys, switched_on
from arbstr_core.flow._lease import Lease
from arbstr_core.flow._office import Office
from arbstr_core.flow._paid_exchange import PaidExchange
from arbstr_core.flow._prepared import Ask, Preparing
from arbstr_core.flow._records import Asked, Records
from arbstr_core.flow._retries import Answer, keep_forgetting
from arbstr_core.flow._rooms import CallRooms
from arbstr_core.flow._sealer import keep_sealing
from arbstr_core.flow._sender import Sender, SenderRules
from arbstr_core.flow._singles import Singles, change_of
from arbstr_core.flow._sweeping import Sweeping
from arbstr_core.flow._teller import Teller
from arbstr_core.flow._waiting import Alarm
from arbstr_core.flow.admin import AdminFlow
from arbstr_core.flow.approval import Approvals, patience
from arbstr_core.flow.audit import Anchor, AuditFlow, audit_signer
from arbstr_core.flow.billing import BillingFlow, Report
from arbstr_core.flow.call import CallFlow
from arbstr_core.flow.deposit import DepositFlow
from arbstr_core.flow.house import HouseFlow
from arbstr_core.flow.metrics import MetricsFlow
from arbstr_core.flow.notify import Notifier, Turn
from arbstr_core.flow.operators import OperatorsFlow
from arbstr_core.flow.overview import OverviewFlow
from arbstr_core.flow.payout import PayoutFlow, PayoutRooms
from arbstr_core.flow.reconcile import Reconcile
from arbstr_core.flow.sellers import SellerFlow, SellerRooms
from arbstr_core.flow.solvency import SolvencyFlow, rails_of_treasury
from arbstr_core.flow.stats import StatsFlow, Window
from arbstr_core.flow.topup import TopUp, TopUpRules
from arbstr_core.flow.transfer import TransferFlow
from arbstr_core.flow.wallet import WalletFlow

__all__ = [
    "AdminFlow",
    "Alarm",
    "Anchor",
    "Answer",
    "Approvals",
    "Ask",
    "Asked",
    "AuditFlow",
    "BillingFlow",
    "Bills",
    "Bringing",
    "CallFlow",
    "CallRooms",
    "DepositFlow",
    "Exchange",
    "FileAnchor",
    "Heartbeat",
    "HouseFlow",
    "Incoming",
    "Keys",
    "Lease",
    "MetricsFlow",
    "Notifier",
    "Office",
    "OperatorsFlow",
    "OverviewFlow",
    "PaidExchange",
    "PayoutFlow",
    "PayoutRooms",
    "Preparing",
    "Reconcile",
    "Records",
    "Report",
    "SellerFlow",
    "SellerRooms",
    "Sender",
    "SenderRules",
    "Singles",
    "SolvencyFlow",
    "StatsFlow",
    "Sweeping",
    "SyslogAnchor",
    "Teller",
    "TopUp",
    "TopUpRules",
    "TransferFlow",
    "Turn",
    "UrlAnchor",
    "WalletFlow",
    "Window",
    "audit_signer",
    "change_of",
    "keep_forgetting",
    "keep_sealing",
    "patience",
    "rails_of_treasury",
    "switched_on",
]
