"""What a user can ask for; each task is one file: its options, its objective, its recipe."""
