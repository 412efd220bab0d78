"""Deciding what a refresh has to do: up to date, append, revise from a day, rebuild or refused, and why."""
