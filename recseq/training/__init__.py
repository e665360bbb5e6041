"""Losses, the Lightning module and the trainer."""
