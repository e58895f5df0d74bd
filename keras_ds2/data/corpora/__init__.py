"""Corpora made on the spot; nothing is imported here, so that making one needs no TensorFlow."""
