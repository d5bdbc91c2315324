"""What a candidate would change in what was really asked: compared decision by decision, and counted."""
