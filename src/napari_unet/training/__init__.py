"""The training loop: one generator of events, told by a task what to learn."""
