"""Looks at bundles that somebody offers, in a process of its own that can be killed."""
