"""Threads, subscriptions, style and text of the widgets; no layer and no option of a task."""
