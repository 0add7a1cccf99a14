"""Tests of the store: the contract, crashes, damage, speed guards."""
