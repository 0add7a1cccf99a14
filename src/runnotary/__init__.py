"""Runnotary: runs flows and keeps a record of every run that a third party can check offline."""

__version__ = "0.1.0"
