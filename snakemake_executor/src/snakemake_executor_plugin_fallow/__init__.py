"""Snakemake executor plugin that runs rules in a Fallow federation."""
