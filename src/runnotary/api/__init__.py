"""Front doors of our own: they know words, not storage."""
