"""Whether one policy lies within another: the proof without which nothing is issued."""
