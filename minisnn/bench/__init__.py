"""What ``minisnn bench`` runs: times that are printed only after the answers agreed."""
