"""Recognition for many at once, over the network."""
