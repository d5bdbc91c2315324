"""What is kept of a sign-in, and where."""
