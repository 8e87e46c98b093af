"""KServe itself on the test cluster: its controller, its webhooks and its resource definitions, from its Go module."""
