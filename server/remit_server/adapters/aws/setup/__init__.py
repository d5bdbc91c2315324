"""What an AWS account must hold for Remit: written as a plan, and compared with what is there."""
