"""`python -m tests.matrix FILE...` prints the table of what `pytest tests/matrix --junitxml=FILE` has run."""

import sys
from pathlib import Path

from .table import failures, markdown, read

files = [Path(file) for file in sys.argv[1:]]
print(markdown(read(files)))
if failed := failures(files):
    sys.exit("\n".join(["", "failed:", *failed]))
