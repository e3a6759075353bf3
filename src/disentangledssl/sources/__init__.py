"""From raw files to the paired-dataset contract, one module a source."""
