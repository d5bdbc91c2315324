"""The gateway as an OIDC issuer of its own: its signing keys, and what it publishes about them."""
