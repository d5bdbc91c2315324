"""The version of the distribution, of the client and of the gateway."""

__version__ = "0.1.0"
