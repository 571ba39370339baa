"""What outlives a node until it is done: work for later, questions to people, dead letters."""
