"""What each augmentation adds: trainings without one after the other, and their table."""
