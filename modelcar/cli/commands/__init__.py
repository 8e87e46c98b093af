"""The subcommands of `modelcar`."""
