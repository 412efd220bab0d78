"""What happens inside the orchestrating process: options, plan, launch, report. Imports no numeric library."""
