"""The compute-node side of a pilot: checks the node, joins the pool, runs payloads in containers, leaves cleanly."""
