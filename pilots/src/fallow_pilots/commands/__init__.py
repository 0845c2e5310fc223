"""The commands of `fallow pilot`, one module each for launching, looking, stopping and installing."""
