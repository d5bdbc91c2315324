"""Denser ways to write Allows with their guards, for intents that would not fit otherwise, and how to read them."""
