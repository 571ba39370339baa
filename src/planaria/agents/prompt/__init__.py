"""What a model is sent: the parts of the prompt, the tools offered, the plan."""
