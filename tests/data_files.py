"""Small data sets in the published file formats, written from their descriptions."""

import gzip
import hashlib
import struct

import numpy as np
import pytest

from minisnn import SpikeEvents
from minisnn.datasets import EventSamples
from minisnn.datasets.idx import FILES


def own_samples():
    """Samples of one's own: the class is the input that fires first."""
    times = np.random.default_rng(0).integers(0, 11, (60, 4))
    return EventSamples(SpikeEvents.from_spike_times(times, n_steps=10), np.argmin(times, axis=1))


def idx_bytes(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_images(folder, n_train=12, n_test=5, zipped=True, seed=0):
    """Images and labels in four files; returns both of every part, and the MD5 of every file's content."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, images, checksums = np.random.default_rng(seed), {}, {}
    for part, n in (("train", n_train), ("test", n_test)):
        images[part] = rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)
        for name, array in zip(FILES[part], images[part]):
            content = idx_bytes(array)
            checksums[name] = hashlib.md5(content).hexdigest()
            path = folder / (f"{name}.gz" if zipped else name)
            path.write_bytes(gzip.compress(content) if zipped else content)
    return images, checksums


def bin_bytes(times, x, y, polarity):
    """A recording of N-MNIST, a byte at a time."""
    content = bytearray()
    for t, column, row, p in zip(times, x, y, polarity):
        content += bytes([column, row, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255])
    return bytes(content)


def write_nmnist(folder, parts=(("Train", 12), ("Test", 4)), n_events=50):
    rng = np.random.default_rng(0)
    written = {}
    for part, n in parts:
        for number in range(1, n + 1):
            times = np.sort(rng.integers(0, 320_000, n_events))
            x, y = rng.integers(0, 34, (2, n_events))
            p = rng.integers(0, 2, n_events)
            path = folder / part / str(number % 10) / f"{number:05d}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bin_bytes(times.tolist(), x.tolist(), y.tolist(), p.tolist()))
            written[part, number] = times, x, y, p
    return written


def write_shd(path, n=6, times=None, units=None, labels=None, dtype="float16"):
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(1)
    lists = [np.sort(rng.random(30)).astype(dtype) for _ in range(n)] if times is None else times
    neurons = [rng.integers(0, 700, len(t)) for t in lists] if units is None else units
    with h5py.File(path, "w") as file:
        for name, rows, kind in (("times", lists, dtype), ("units", neurons, "uint16")):
            file.create_dataset(f"spikes/{name}", data=ragged(rows), dtype=h5py.vlen_dtype(np.dtype(kind)))
        file.create_dataset("labels", data=np.arange(n) % 20 if labels is None else labels)
    return lists, neurons


def ragged(lists):
    array = np.empty(len(lists), dtype=object)
    array[:] = [np.asarray(one) for one in lists]
    return array


def naive_raster(times, neurons, n_neurons, n_steps, dt, binning, counts):
    raster = np.zeros((n_steps, n_neurons), dtype=int)
    for t, i in zip(times, neurons):
        step = int(t // (1000 * dt)) if binning == "floor" else round(t / (1000 * dt))
        if step < n_steps:
            raster[step, i] = raster[step, i] + 1 if counts else 1
    return raster
