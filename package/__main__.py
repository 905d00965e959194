"""`python -m huref`: the command, for where its script is not on the path."""

from huref.common.cli import main

main()
