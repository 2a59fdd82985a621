"""What an artifact is, and whether the image really contains it."""
