"""Offers and policies to an ordered, explained plan. Pure: the same input gives the same plan."""

from arbstr_core.routing._fields import demands
from arbstr_core.routing._plan import Router
from arbstr_core.routing._quote import Pricer, afford, tightened

__all__ = ["Pricer", "Router", "afford", "demands", "tightened"]
