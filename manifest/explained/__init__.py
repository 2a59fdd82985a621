"""For every diagnostic a manifest that gives it and the same manifest mended: ``shelf`` has them all, by code."""
