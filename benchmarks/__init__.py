"""How fast keras_ds2 is, beside its peers and its limits: see README.md."""
