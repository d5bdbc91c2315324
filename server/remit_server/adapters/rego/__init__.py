"""Rego, evaluated in worker processes that can be killed; nothing to install."""
