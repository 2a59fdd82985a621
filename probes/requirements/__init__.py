"""What the container's readiness needs beside its programs: mounts, checks of the whole, its identity."""
