"""Price files into the source table: ``python -m refresh.load FILE...``."""
