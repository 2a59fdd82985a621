"""The boot as one trace, sent over OTLP where the manifest says where to.

``spans`` is what is told, ``sending`` when and what follows when it cannot be, ``otlp`` the only module that knows OpenTelemetry: it
is loaded when there is something to send.
"""
