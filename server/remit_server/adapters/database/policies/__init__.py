"""The published policy revisions, and which of them decides since when."""
