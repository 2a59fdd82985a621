"""The HTTP probes: is it alive, did it boot, is it ready now, and why not."""
