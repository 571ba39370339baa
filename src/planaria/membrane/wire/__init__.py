"""How a model service is reached: addresses, keys, connections, streams, errors; no dialect."""
