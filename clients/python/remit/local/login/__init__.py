"""Signing in: a person's tokens from the configured issuer, kept on this machine, fresh whenever they are asked for."""

from remit.local.login.source import login_source

__all__ = ["login_source"]
