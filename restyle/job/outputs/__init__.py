"""The outputs of a job: where they lie, their form, their marks, whose they are, and the gates before them."""
