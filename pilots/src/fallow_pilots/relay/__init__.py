"""The way out for nodes that have none: a relay on the login host that leads to the hub and its store, and nowhere else."""
