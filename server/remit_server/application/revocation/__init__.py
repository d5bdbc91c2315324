"""Revocation at AWS: what is to be denied becomes the text of managed policies, and stays it until it is over."""
