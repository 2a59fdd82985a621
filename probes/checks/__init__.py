"""Checks from outside: http, tcp, unix and exec, run in the probe server's loop, their verdicts told to PID 1."""
