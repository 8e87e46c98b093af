"""The shell of the default base image: its source, and how it is built."""
