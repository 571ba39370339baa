"""What a turn is: its events, what is next in it, its limits, and what arrives in the middle of it."""
