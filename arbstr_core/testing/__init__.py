"""For plugin authors: conformance suites (a whole test is a class and a fixture), doubles of the tools, builders.

Import it in tests only; the suites need pytest.
"""

from arbstr_core.plugins import LoopClock
from arbstr_core.testing._clock import FakeClock
from arbstr_core.testing._loop import Stuck, VirtualClock, VirtualLoop, in_virtual_time
from arbstr_core.testing._other_side import Ending, OtherSide, WalletWorld
from arbstr_core.testing._plugins import PluginSuite, configure
from arbstr_core.testing._policies import PolicySuite, StrategySuite, some_calls, some_quotes, some_standing
from arbstr_core.testing._providers import ProviderSuite
from arbstr_core.testing._replies import a_completion, a_stream, answers, reply_of
from arbstr_core.testing._store import MemoryStore
from arbstr_core.testing._tools import KitTasks, KitTools, KitUpstream, kit_tools
from arbstr_core.testing._values import a_call, a_caller, a_quote, an_offer, an_outbound
from arbstr_core.testing._wallets import WalletSuite

__all__ = [
    "Ending",
    "FakeClock",
    "KitTasks",
    "KitTools",
    "KitUpstream",
    "LoopClock",
    "MemoryStore",
    "OtherSide",
    "PluginSuite",
    "PolicySuite",
    "ProviderSuite",
    "StrategySuite",
    "Stuck",
    "VirtualClock",
    "VirtualLoop",
    "WalletSuite",
    "WalletWorld",
    "a_call",
    "a_caller",
    "a_completion",
    "a_quote",
    "a_stream",
    "an_offer",
    "an_outbound",
    "answers",
    "configure",
    "in_virtual_time",
    "kit_tools",
    "reply_of",
    "some_calls",
    "some_quotes",
    "some_standing",
]
