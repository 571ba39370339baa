"""The tasks of a turn: a model is asked, its stream shown, its answer judged, and what was said handed to the room."""
