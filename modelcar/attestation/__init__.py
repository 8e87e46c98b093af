"""What is attached to an image: provenance, bill of materials and signatures."""
