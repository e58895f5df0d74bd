"""The paper's claims, each measured: the trainings, their table and their picture."""
