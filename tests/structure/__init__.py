"""Tests of the repository itself: its layers, its imports, its sizes, its packages and its files."""
