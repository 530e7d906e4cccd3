"""How fast this machine runs what this package is for, and how near that is to its limit."""
