"""Lesson 12: models that take in new observations without training, and forecasts of real series."""
