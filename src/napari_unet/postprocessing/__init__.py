"""From probabilities to labels, again and otherwise: thresholds, sizes, holes, single objects."""
