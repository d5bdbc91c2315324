"""Narrower credentials out of a live grant, for one call of a tool: what lies within it, proven, and nothing else."""
