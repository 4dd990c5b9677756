"""Answers to invitations by rules: the auto-schedule modes of people, rooms and equipment. Pure."""
