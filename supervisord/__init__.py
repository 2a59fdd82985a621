"""All that speaks supervisor: its config, the RPC client, and the extension that lives in PID 1."""
