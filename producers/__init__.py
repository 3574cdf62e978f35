"""From a manifest to messages on the queue, and from outcomes to a report. May import restyle and config."""
