"""Looking after a journal: what is kept how long, whether it is whole, and its text for other programs."""
