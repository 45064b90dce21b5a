"""Usage to tokens to msat: what a reply showed, what it used, what that costs. Pure."""

from arbstr_core.metering._charge import Bill, bill, counted, exhausted, sent
from arbstr_core.metering._meter import Meter, Seen

__all__ = ["Bill", "Meter", "Seen", "bill", "counted", "exhausted", "sent"]
