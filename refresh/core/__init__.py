"""Pure calculations: arrays and values in, arrays and values out. No SQL, clock, environment or logging."""
