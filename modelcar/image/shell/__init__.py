"""The small static shell in the default base image. Its source, and why it is there: shell/ in the repository."""
