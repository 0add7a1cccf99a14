"""Ways to write a flow; each reads one notation into the internal definition."""
