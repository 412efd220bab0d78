"""What happens inside one builder process: decide, read, compute, commit, report."""
