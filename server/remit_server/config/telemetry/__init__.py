"""What is told of the gateway itself: its figures, its traces."""
