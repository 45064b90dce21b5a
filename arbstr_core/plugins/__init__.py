"""Discovery, checks, registration and calling of plugins, and their life. Alone in importing pluggy's manager and
stevedore."""

from arbstr_core.plugins._examine import Decode, LoadState
from arbstr_core.plugins._found import GROUP, Found, installed
from arbstr_core.plugins._life import Lives
from arbstr_core.plugins._load import Loaded, MakeTools, load
from arbstr_core.plugins._states import PluginState, states
from arbstr_core.plugins._tasks import PluginTasks, Supervisor, TaskFailure
from arbstr_core.plugins._tools import LoopClock, PluginTools

__all__ = [
    "GROUP",
    "Decode",
    "Found",
    "Lives",
    "LoadState",
    "Loaded",
    "LoopClock",
    "MakeTools",
    "PluginState",
    "PluginTasks",
    "PluginTools",
    "Supervisor",
    "TaskFailure",
    "installed",
    "load",
    "states",
]
