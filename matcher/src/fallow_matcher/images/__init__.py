"""What the hub knows of images: who published them, with which words, and the tags that name them."""
