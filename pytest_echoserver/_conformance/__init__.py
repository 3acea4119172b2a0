"""What `pytest_echoserver.conformance` tries protocols with."""
