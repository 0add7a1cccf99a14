"""The logs of every release, which this release must still read."""
