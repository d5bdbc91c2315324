"""AWS STS: asked for sessions, never without a session policy."""
