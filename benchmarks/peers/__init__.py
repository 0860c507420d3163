"""Comparisons with other software, one script each; every ratio is of one alternating run."""
