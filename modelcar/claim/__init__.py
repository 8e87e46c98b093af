"""The claim that downloads and builds share."""
