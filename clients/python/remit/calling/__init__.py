"""Calls to the gateway: what is asked, over which channel, and how answers and failures are read."""
