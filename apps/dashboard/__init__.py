"""The live page of a workspace: its runs, its fleet, and the few levers that a person pulls."""
