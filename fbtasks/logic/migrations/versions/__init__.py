"""One module per revision. None is ever changed once released."""
