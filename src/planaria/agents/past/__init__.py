"""Runs of sessions afterwards: read from the journal or a file, replayed, compared, and gone on from as branches."""
