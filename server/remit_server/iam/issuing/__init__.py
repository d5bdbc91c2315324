"""From what is asked to what STS gets: the floor, narrowing, derivation, guards and the shortest form."""
