"""The pipeline server: its discovery, login, uploads and runs."""
