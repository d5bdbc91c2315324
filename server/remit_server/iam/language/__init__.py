"""What a policy says: patterns, ARNs, conditions, statements and documents, and how they are read."""
