"""The LLM services, one wire dialect a file."""
