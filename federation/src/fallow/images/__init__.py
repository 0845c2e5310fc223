"""Images: what names them, what the hub knows of them, and how they are published.

An image is a SIF, and its name is the SHA-256 of its bytes. A tag is a name that people give to a digest; whoever submits
resolves it, and the digest is what runs.
"""
