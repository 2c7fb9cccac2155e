"""Labels from probabilities: thresholds, sizes, holes, and single objects."""
