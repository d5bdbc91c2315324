"""Telling people what happened: messages out of the ledger's outbox, delivered by one process of all."""
