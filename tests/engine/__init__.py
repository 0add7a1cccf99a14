"""The engine on the real store, the real keeper and real processes."""
