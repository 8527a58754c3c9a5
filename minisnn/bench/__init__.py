"""The measurements of ``minisnn bench``: times are printed only after the answers agreed."""
