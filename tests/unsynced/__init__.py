"""Power cuts for real processes: what they wrote and never synced is taken back once they were killed.

`kill -9` alone loses nothing, for the kernel keeps what was written. `Unsynced` loads a library into the processes that
it watches, which remembers how to undo every write that was not yet synced; `cut` undoes them:

    with Unsynced(tmp_path, pattern="arbstr.db*") as power:
        process = subprocess.Popen([...], env=power.environment())
        ...
        process.kill()
        process.wait()
        power.cut()
"""

from __future__ import annotations

from unsynced._power import Caught, Unsynced
from unsynced._undo import Lost, discard

__all__ = ["Caught", "Lost", "Unsynced", "discard"]
