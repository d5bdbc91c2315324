"""The policy port on an OPA server beside the gateway, which pulls its bundle from here."""
