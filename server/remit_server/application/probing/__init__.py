"""Asks a running gateway for what it must refuse, and judges what it answers."""
