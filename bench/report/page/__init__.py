"""The page: all that a store says of methods and datasets, in one HTML file that needs nothing else."""
