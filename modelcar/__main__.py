"""The `modelcar` command, as `python -m modelcar`."""

from modelcar.cli.start import main

main()
