"""Attachments of an image: provenance, bill of materials and signatures."""
