"""A second process that trains and predicts, so that the viewer's own has nothing to do."""
