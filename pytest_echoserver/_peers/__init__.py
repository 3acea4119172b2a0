"""Peers: what a test has the code under test talk to."""
