"""A world in which everything outside the engine is fake, deterministic and may crash."""
