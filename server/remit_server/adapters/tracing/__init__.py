"""Traces of calls by OpenTelemetry: what took how long, never of whom or for what. Loaded where they are wanted."""
