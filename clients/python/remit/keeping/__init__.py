"""What keeps a task: its keys renewed in time, its lease, and its end heard of."""
