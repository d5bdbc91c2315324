"""Following a source of policies: what it offers is judged before it is adopted."""
