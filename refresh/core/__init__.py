"""Arithmetic: arrays and values in, arrays and values out. Knows no database, clock, environment or log."""
