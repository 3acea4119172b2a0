"""Protocol classes that others wrote, on the harnesses."""
