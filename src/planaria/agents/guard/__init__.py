"""Between a session and the guard beside it: what is shown, what a verdict changes, hand-offs and halts."""
