"""What training will see, shown before it is trained on."""
