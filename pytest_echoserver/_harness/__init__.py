"""Harnesses: your own asyncio protocol on a real transport, with the far end in the test's hands."""
