"""What people see: renderers of plans and reports, and the command line that joins everything."""
