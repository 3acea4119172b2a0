"""Faults: what is decided, and what comes of it at real sockets."""
