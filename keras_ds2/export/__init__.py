"""Models for programs without keras_ds2: waveform in, logits out, one graph between."""
