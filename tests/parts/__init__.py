"""The real parts that the tests and the demo start on loopback, and stop again."""
