"""Tiny real models, made and loaded by the libraries that serve them; `make test-models` installs those."""
