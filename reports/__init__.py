"""What a run leaves for people: report files and pages, downloads, notifications. May import producers."""
