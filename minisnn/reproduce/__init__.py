"""What ``minisnn reproduce`` runs: the paper's comparison of single-spike and conventional networks."""
