"""What is paid for already: the index of results by content, and what is done with one that answers a job."""
