"""What to do about failures, where it takes more than a clause."""

ENTITLEMENT = "ask the security team for an entitlement; the request id leads them to the decision"
OWN_PROOF = (
    "check this agent's certificate_file and key_file, or its bearer_token, and that the gateway's port is the one for "
    "it: certificates have one port, bearer tokens another"
)
OTHERWISE = "what the sentence names has to change first, such as the token's audience"
NOT_REACHED = (
    "check that the gateway runs at this address, that ca_file vouches for it, that this agent's own "
    "certificate is not over, and that the port is the one for how this agent says who it is: gateways "
    "listen for certificates at one port, for bearer tokens at another"
)
