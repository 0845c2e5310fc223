"""A whole Fallow federation on one machine: real HTCondor, Slurm, Apptainer and S3 in namespaces."""
