"""The gateway's figures: counted in cells of shared memory, summed over its workers, told in Prometheus' words."""
