"""Programs that may not be trusted: what they see, reach and use up is given to them."""
