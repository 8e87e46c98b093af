"""Tests of the serve step, in parts."""
