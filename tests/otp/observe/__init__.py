"""What looks at a running node from a thread of its own."""
