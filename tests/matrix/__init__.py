"""The matrix: suites as users have them, each beside a neighbour of ours in a large one.

`rows` says which there are, `suites/` has them, `test_rows` runs them, and `table` tells what came of it.
"""
