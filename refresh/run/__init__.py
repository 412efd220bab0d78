"""What happens inside the orchestrating process: plan, launch, report. Imports no numeric library."""
