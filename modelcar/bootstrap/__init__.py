"""How our own code reaches a pod."""
