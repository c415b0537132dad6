"""Programs that measure. Figures they print go to RESULTS.md with the command that gave them."""
