"""Reads the values of conditions, where every reader reads them alike; what AWS does not say how it reads is not read.

Source: IAM user guide, "IAM JSON policy elements: Condition operators". It says nothing of zeros before a number or a
prefix length, of a zero below zero, or of a truth that is neither true nor false; and that an address without a prefix
length is a network of 32 bits, which for IPv6 can hardly be meant.
"""

import ipaddress
import re
from decimal import Decimal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# NOTE: fifteen digits, because more of them are not told apart by whoever reads them as a double.
_NUMBER = re.compile(r"(?!-0(?:\.0+)?\Z)-?(?:(?:0|[1-9][0-9]{0,14})|(?=.{1,16}\Z)(?:0|[1-9][0-9]*)\.[0-9]+)", re.ASCII)
_NETWORK_OF_FOUR = re.compile(r"[0-9.]{7,15}(?:/(?:0|[1-9][0-9]?))?", re.ASCII)
_NETWORK_OF_SIX = re.compile(r"[0-9A-Fa-f:]{2,39}/(?:0|[1-9][0-9]{0,2})", re.ASCII)
# NOTE: IPv4 addresses in the clothes of IPv6: whoever unwraps them holds them against networks of IPv4.
_WRAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def number_of(text: str) -> Decimal | None:
    """Returns a number that can be read in one way only, else None."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def network_of(text: str) -> Network | None:
    """Returns a network, or an IPv4 address as one, that can be read in one way only, else None."""
    try:
        if _NETWORK_OF_FOUR.fullmatch(text):
            return ipaddress.IPv4Network(text)
        six = ipaddress.IPv6Network(text) if _NETWORK_OF_SIX.fullmatch(text) else None
    except ValueError:
        return None
    return None if six is None or six.subnet_of(_WRAPPED) else six


def truth_of(text: str) -> bool | None:
    """Returns what true and false in any case say, None for any other text."""
    return {"true": True, "false": False}.get(text.lower())
