"""Tools of a garden's own: files in its folder `tools/`, each in an OS process of its own, loaded as they change."""
