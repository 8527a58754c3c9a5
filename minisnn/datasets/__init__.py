"""Data sets as spike events, by name.

``yin-yang`` is generated; ``mnist`` and ``fashion-mnist`` are read from their idx files, ``nmnist`` and ``shd`` from
their recordings. `load_dataset` gives them all the same form; `from_tonic` brings in any data set of tonic.
"""

from .cache import cache_folder
from .encoding import latency_linear, latency_log, pixel_times, threshold_crossings
from .idx import read_idx, read_images
from .images import ImageSamples, augment_images
from .loading import load_dataset
from .nmnist import read_bin
from .places import NAMES, download, find
from .recordings import encode_recordings
from .samples import Dataset, EventSamples, Samples, Subset, encode_events, folds, split
from .shd import read_shd
from .tonic_bridge import from_tonic
from .yin_yang import yin_yang

__all__ = [
    "NAMES", "Dataset", "EventSamples", "ImageSamples", "Samples", "Subset", "augment_images",
    "cache_folder", "download", "encode_events", "encode_recordings", "find", "folds", "from_tonic",
    "latency_linear", "latency_log", "load_dataset", "pixel_times", "read_bin", "read_idx", "read_images",
    "read_shd", "split", "threshold_crossings", "yin_yang",
]  # fmt: skip
