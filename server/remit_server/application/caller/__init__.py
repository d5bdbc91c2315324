"""What an agent may ask about itself: who it is to the gateway, and what its own requests came to."""
