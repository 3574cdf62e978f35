"""The pages as HTML: what they show, and how they word it."""
