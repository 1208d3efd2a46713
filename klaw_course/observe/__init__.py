"""Rows of what happened: tasks over time, memory over time. Nothing here draws."""
