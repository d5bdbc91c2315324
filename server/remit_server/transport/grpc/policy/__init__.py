"""PolicyService: its servicer, its messages, and the calls of its commands."""
