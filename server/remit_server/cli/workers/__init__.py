"""`serve --workers N`: one process that supervises, and N that each serve on the same ports."""
