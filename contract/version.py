"""The version of bootseal; packaging reads it from here."""

VERSION = "0.1.0"
