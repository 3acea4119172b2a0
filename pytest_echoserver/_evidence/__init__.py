"""Evidence: what a failed test's peers saw, for whoever reads the report."""
