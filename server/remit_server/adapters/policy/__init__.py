"""Policy bundles as they lie on disk, and the strict reading of what they decide."""
