"""Verifies that an image holds what the Hub published."""
