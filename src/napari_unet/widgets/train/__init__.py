"""The Train page: forms, live preview, plots, scores and runs."""
