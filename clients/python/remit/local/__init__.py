"""Tasks on one machine: settings, what programs here share, and how unmodified tools get credentials."""
