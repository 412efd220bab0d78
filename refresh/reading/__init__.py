"""How is it read from Python? ``refresh.connect`` gives bars, averages, freshness and runs as arrays."""
