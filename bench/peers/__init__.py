"""Other engines doing the same work, for a ratio side by side. None of them is needed for the rest."""
