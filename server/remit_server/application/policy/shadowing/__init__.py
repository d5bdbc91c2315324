"""A candidate that decides beside the active revision, and is only counted."""
