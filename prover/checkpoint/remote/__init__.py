"""Checkpoints on a model hub or a web server, read in byte ranges; `mirror` gives the readers a folder of them."""
