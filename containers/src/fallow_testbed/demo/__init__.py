"""The demo: a real workflow of one user runs across all centres, while their own users come and go."""
