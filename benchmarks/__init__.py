"""The speed figures of the project, each against what one would use instead; see benchmarks/README.md."""
