"""Offers and policies to an ordered, explained plan. Pure: the same input gives the same plan."""

from arbstr_core.routing._fields import demands
from arbstr_core.routing._plan import Router
from arbstr_core.routing._quote import afford, priced, tightened, unfit

__all__ = ["Router", "afford", "demands", "priced", "tightened", "unfit"]
