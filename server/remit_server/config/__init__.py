"""What an operator decides: read once at start, cross-checked, frozen, refused when wrong."""
