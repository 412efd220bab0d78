"""The measures, one module each. A measure takes a bench and returns figures."""
