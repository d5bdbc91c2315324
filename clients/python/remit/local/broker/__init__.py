"""Holds tasks on this machine, in memory only: one for all programs that wish for the same."""

from remit.local.broker.broker import Broker, Remembered
from remit.local.broker.held import Held, HeldState, Keeping, Status
from remit.local.connecting import begin, gateway_of

__all__ = ["Broker", "Held", "HeldState", "Keeping", "Remembered", "Status", "begin", "gateway_of"]
