"""S3 access that a federation gives its users, in the form that boto3 and what builds on it understand."""

from fallow.storage.environment import environment

__all__ = ["environment"]
