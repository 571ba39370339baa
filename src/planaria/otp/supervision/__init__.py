"""Who starts, watches, restarts and stops whom: supervisors, their children, tasks."""
