"""The image: how bootseal becomes PID 1 of a container. The files here build it; see docs/container.md."""
