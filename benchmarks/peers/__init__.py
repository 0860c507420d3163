"""Comparisons with other software, which alternate in one run, so that their ratio is fair."""
