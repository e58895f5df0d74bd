"""Training: schedules, checkpoints, callbacks and the run."""
