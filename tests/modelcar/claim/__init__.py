"""Tests of modelcar.claim."""
