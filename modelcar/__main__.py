"""The `modelcar` command, as `python -m modelcar`."""

from modelcar.cli.program import main

main()
