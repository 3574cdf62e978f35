"""What people say of the pictures of a run, and what follows from it."""
