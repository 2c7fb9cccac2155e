"""Training: the loop as a generator of events, and the interface to the tasks."""
