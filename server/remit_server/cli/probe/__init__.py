"""`remit-server probe`: asks a running gateway for what it must refuse."""
