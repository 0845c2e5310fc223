"""What rules would do to recorded work: discrete events, with the matcher's own policy function."""
