"""/metrics: what is known, as metric families for Prometheus.

``scrape`` is the only way in. It takes the picture in the event loop and makes the families in a thread, where prometheus_client
and psutil are loaded at the first scrape; nobody else here knows prometheus_client.
"""
