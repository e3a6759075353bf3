"""Measurements: arrays of representations in, numbers and tidy rows out."""
