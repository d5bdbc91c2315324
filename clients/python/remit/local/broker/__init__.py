"""Holds tasks on this machine, in memory only: one for all programs that wish for the same."""

from remit.local.broker.broker import Broker, Remembered
from remit.local.broker.connecting import begin, gateway_of
from remit.local.broker.held import Held, HeldState, Keeping, Status

__all__ = ["Broker", "Held", "HeldState", "Keeping", "Remembered", "Status", "begin", "gateway_of"]
