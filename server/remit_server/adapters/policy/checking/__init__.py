"""What `policy check` says beyond what the gateway refuses by itself: for authors, never on the way of a decision."""
