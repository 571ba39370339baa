"""What a process is: mailbox, signals, timers, run queue, and the node that holds it; all else builds on this."""
