"""Runs a command with the credentials of a task, and nothing else that AWS SDKs would take instead."""
