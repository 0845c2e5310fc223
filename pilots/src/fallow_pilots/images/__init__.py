"""The centre's image store: images by digest on a file system that its hosts share."""
