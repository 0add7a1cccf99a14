"""Tests of access: who may change what, tokens, identity."""
