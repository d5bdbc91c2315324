"""Reads a bundle's archive in a process of its own: seconds of the interpreter that nobody's call waits for."""
