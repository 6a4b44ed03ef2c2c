"""Explain one spike: replay the steps that led to it and examine them."""
