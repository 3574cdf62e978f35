"""Pages of pictures: a run's report, a trial's grid, and what they show."""
