"""What every adapter shares: the run's task, its tools, and what a model is told."""
