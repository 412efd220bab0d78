"""Whether the tables are right."""
