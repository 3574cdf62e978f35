"""Tests of restyle, in three tiers: pure (unit), one seam (integration), whole processes (acceptance)."""
