"""Replays decisions in processes of their own, which a candidate may kill or stall without ending the replay."""
