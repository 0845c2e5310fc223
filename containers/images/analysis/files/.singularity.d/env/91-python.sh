# The image is complete and read-only: nothing of a user's home is imported, nothing is compiled again.
export PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1
