"""What tests share: servers, waiting, pictures."""
