"""Measures the product beside the machine's own limits, in one run: `make bench`."""
