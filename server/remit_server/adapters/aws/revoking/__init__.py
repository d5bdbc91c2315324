"""Revocation at AWS: IAM's query protocol, the policies, the role that writes them, and canaries."""
