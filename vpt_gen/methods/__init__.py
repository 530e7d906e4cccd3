"""One file per method of adaptation."""
