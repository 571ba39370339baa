"""The stores a journal can be kept in, one file each."""
