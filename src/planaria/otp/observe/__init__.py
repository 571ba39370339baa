"""Looking at a running node from a thread of its own: watchdog, observer, live trace, prompt."""
