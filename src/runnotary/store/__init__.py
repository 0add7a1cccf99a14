"""The record on disk: events, the tables projected from them, and blobs."""
