"""Faults: what a bad network does, what is decided of it, and how that is done to datagrams and streams."""
