"""What authors are told of their Rego beyond the safety rules; runs in the worker, where the syntax tree is made."""
