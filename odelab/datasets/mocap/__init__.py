"""Recordings of people walking: CMU's files, channels and skeletons; and walks made up where there are none."""
