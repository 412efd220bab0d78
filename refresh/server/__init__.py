"""The PostgreSQL that comes with the package: its programs, its cluster, and the processes that start and stop it."""
