"""Notebooks as decks and pages that need no kernel and no network.

executing runs a notebook, cell_html draws a cell, cutting lays cells out on slides, deck puts them
and reveal.js into one file, site makes pages, printing a PDF.
"""
