"""Which bundle or revision a command means, and whom it asks."""
