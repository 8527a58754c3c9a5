"""The work of ``minisnn reproduce``: the paper's comparison of single-spike and conventional networks."""
