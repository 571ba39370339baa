"""What is noticed in the steps of a session, and what a restart changes."""
