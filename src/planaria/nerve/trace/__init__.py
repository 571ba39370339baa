"""Traces: one question from message to answer, as a causal tree built from the journal's events of one trace id."""
