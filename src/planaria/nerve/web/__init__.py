"""The web dashboard: live pages over a running node, drawn on the server, without a line of our own JavaScript."""
