"""What things cost, measured: one question per file."""
