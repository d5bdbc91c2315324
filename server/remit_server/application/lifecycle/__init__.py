"""What happens to tasks and grants after they began: renewals, leases, and telling whoever watches."""
