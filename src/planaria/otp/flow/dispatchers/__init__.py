"""Ways a producer shares events out among its consumers, one in each file."""
