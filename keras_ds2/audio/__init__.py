"""Waveforms: reading, resampling, augmenting and making them."""
