"""Processes: real programs under a `SubprocessProtocol`, everything captured."""
