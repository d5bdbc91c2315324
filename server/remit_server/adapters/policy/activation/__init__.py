"""The active revision on this replica: read back, adopted, followed."""
