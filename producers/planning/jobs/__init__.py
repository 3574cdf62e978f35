"""What a job of a plan is made of: its variant, prompt, name and seed; which are a sample, which are one."""
