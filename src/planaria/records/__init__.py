"""Plain-text files: the records people edit, read safely, watched, searched."""
