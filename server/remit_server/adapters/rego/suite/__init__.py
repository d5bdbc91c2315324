"""The tests of a policy bundle: run, measured by what they reach, and judged by the mistakes they would find."""
