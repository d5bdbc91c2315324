"""Which grants are meant: a subset of the filter language of AIP-160, as values."""
