"""Who asks and for whom: OIDC tokens, key sets, SPIFFE certificates, and who may present whose token."""
