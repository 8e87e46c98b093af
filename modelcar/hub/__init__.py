"""Models on the Hugging Face Hub: what is published, and which of it to take."""
