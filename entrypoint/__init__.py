"""PID 1: Stage A, Stage B and the identity; and the command line, which loads what a command needs when it runs."""
