"""The embedded generator: an exact renderer of paper-cut creatures in integers (docs/picture.md)."""
