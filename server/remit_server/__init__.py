"""The gateway: decides, proves, records, and only then asks AWS."""
