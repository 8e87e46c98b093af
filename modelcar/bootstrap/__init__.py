"""Delivery of our own code to a pod."""
