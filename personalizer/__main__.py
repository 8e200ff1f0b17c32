"""`python -m personalizer`: the same as the `personalizer` command."""

from personalizer.cli import main

main()
