"""fbtasks watches horses through stable cameras."""

__version__ = "0.1.0"
