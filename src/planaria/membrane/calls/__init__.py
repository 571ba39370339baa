"""Making a model call: permits before each provider, attempts at one candidate after another."""
