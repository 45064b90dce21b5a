"""Offers and policies to an ordered, explained plan. Pure: the same input gives the same plan."""

from arbstr_core.routing._plan import Router
from arbstr_core.routing._quote import priced, unfit

__all__ = ["Router", "priced", "unfit"]
