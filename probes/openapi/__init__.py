"""The HTTP contract in OpenAPI 3.1, served at /openapi.json and checked against the running server in the tests.

``schemas`` says what the bodies are, ``statuses`` which statuses and headers there are, ``document`` which paths answer with what.
"""
