"""Models that take in visits one by one, at irregular times, on a real clinic's data."""
