"""The use cases: one file each, one screen each; `ports.py` says what they need from outside."""
