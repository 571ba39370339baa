"""The journal, its stores, and what is built on reading them."""
