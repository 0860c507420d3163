"""Comparisons with other packages, one script for each."""
