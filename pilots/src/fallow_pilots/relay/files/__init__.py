"""The way to the relay for nodes that reach nothing but a shared file system: connections as files in a directory."""
