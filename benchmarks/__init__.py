"""What peers, harnesses and the runner cost, beside what people use today: ``python -m benchmarks``."""
