"""Where and how a cell is run: the child process, its job, limits and record."""
