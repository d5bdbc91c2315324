"""The socket by which programs of one user share what a process holds; asking it needs a few standard modules only."""
