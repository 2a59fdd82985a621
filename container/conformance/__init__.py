"""What any image promises by its plan, as a test suite: `pytest --pyargs container.conformance --hosts=podman://NAME --plan plan.json`."""
