"""Deciding on a supposition, or again: by one path, the very one that live calls take."""
