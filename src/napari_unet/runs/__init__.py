"""What is kept of a training: a folder per run with log, settings, model and a report."""
