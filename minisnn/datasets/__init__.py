"""Data sets as spike events, by name or path.

``yin-yang`` is generated; ``mnist`` and ``fashion-mnist`` are read from their idx files, ``nmnist`` and ``shd`` from
their recordings, and your own from a file or folder of arrays (`minisnn.datasets.own` has the layout). `load_dataset`
gives them all the same form. `save_dataset` writes your own: of arrays (`EventSamples`), of a table such as a pandas
DataFrame (`from_features`), or of any data set of tonic (`from_tonic`).
"""

from .cache import cache_folder
from .encoding import encode_events, latency_linear, latency_log, pixel_times, threshold_crossings
from .features import from_features
from .idx import read_idx, read_images
from .images import ImageSamples, augment_images
from .loading import load_dataset
from .nmnist import read_bin
from .own import save_dataset
from .places import NAMES, download, find
from .recordings import encode_recordings
from .samples import Dataset, EventSamples, Samples, Subset, folds, split
from .shd import read_shd
from .tonic_bridge import from_tonic
from .yin_yang import yin_yang

__all__ = [
    "NAMES", "Dataset", "EventSamples", "ImageSamples", "Samples", "Subset", "augment_images",
    "cache_folder", "download", "encode_events", "encode_recordings", "find", "folds",
    "from_features", "from_tonic", "latency_linear", "latency_log", "load_dataset", "pixel_times", "read_bin",
    "read_idx", "read_images", "read_shd", "save_dataset", "split", "threshold_crossings", "yin_yang",
]  # fmt: skip
