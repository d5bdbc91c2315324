"""The composition root: the only package that knows every other one. A module for each part that is wired."""

from remit_server.bootstrap.gateway import ALONE, Gateway, Seat, running_gateway

__all__ = ["ALONE", "Gateway", "Seat", "running_gateway"]
