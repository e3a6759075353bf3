"""From measurements to the tables a person reads: tidy long rows, and their mean, std and n over seeds."""
