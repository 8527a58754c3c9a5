"""The colours of all pictures: one for one thing everywhere.

Okabe and Ito's, but for the darkest: they stay apart for colour-blind eyes and in print.
"""

# Things that are told apart by number: neurons, channels, classes, workloads.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

# A neuron that fires at most once.
INPUT = THRESHOLD = "#333333"
CURRENT = "#888888"
POTENTIAL, SPIKE, DOUBLE_SUM, GATED, CROSSING, STRAIGHT_THROUGH = COLOURS
# The conventional neuron and network, and both by name.
CONVENTIONAL = "#882255"
NEURONS = {"single-spike": SPIKE, "multi-spike": CONVENTIONAL}
# Classes of Yin-Yang, those of the readout, and parts of a data set.
CLASSES = COLOURS[:3]
LABEL, ANSWER, OTHERS = "#000000", "#e69f00", "#cccccc"
PARTS = {"train": "#56b4e9", "validation": "#009e73", "test": "#0072b2"}
