"""Asking people before credentials are issued, or by break-glass afterwards: who is asked, who decides, what holds."""
