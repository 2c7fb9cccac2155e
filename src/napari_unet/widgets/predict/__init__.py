"""The Predict page: predict, refine, and how far a result can be trusted."""
