"""The production recipe beside the same with both directions: trainings and their table."""
