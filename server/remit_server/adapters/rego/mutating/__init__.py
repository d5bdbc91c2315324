"""Small mistakes in a bundle, made one by one, and what its tests notice of them."""
