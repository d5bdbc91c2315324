"""Publishing, checking, showing and activating revisions: the use cases of operators."""
