"""`python -m tests.matrix FILE...` prints the table of what `pytest tests/matrix --junitxml=FILE` has run."""

import sys
from pathlib import Path

from .table import failures, markdown, read

files = [Path(file) for file in sys.argv[1:]]
missing = [f"{file}: there is none, for its pytest didn't get that far" for file in files if not file.exists()]
there = [file for file in files if file.exists()]
print(markdown(read(there)))
if failed := missing + failures(there):
    sys.exit("\n".join(["", "failed:", *failed]))
