"""Beside the paper: its tables cell by cell, its claims, itself; from the tables of a run and the numbers it prints."""
