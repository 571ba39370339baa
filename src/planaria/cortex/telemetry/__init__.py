"""What a node tells while it works: spans and points, and those who listen to them."""
