"""What all processes of bootseal agree on: standard library only, imported by every room."""
