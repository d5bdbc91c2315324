"""What engines answer, read strictly; and the samples that every policy must refuse."""
