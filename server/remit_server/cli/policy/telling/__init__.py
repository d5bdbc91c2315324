"""What the commands about policies say."""
