"""What the prober needs of the world: wrong tokens and certificates, sources of right ones, and a page of metrics."""
