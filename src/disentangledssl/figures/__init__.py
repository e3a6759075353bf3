"""Figures: a tidy table in, PNG, PDF and the rows that were drawn out."""
