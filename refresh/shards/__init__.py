"""Which database holds which asset, and where that is written."""
