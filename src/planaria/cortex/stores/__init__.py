"""The stores a journal can be kept in, a room each; which one a garden has; their migrations."""
