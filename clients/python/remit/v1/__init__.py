"""The generated code of the public API, `protos/remit/v1`; `make protos` writes it."""
