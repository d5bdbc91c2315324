"""Bundles as files and archives, read strictly into values."""
