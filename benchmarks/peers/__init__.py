"""The same work done by other means, to compare with."""
