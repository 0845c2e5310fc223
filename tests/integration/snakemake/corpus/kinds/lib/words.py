"""Imported by the workflow itself."""


def shouted(text):
    return text.upper()
