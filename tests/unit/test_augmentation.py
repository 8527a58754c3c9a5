"""Augmented images: every change is one of those named, seeded, and for training alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minisnn import SpikeEvents, datasets
from minisnn.datasets.images import AUGMENTATIONS, CameraSamples, ImageSamples, augment_images, shift_events
from minisnn.errors import InputError
from tests.data_files import write_images, write_nmnist
from tests.helpers import one_line


def random_images(n=40, height=6, width=5):
    return np.random.default_rng(3).integers(0, 256, (n, height, width), dtype=np.uint8)


def shifted(image, down, right):
    """The image moved by one pixel at most, in plain loops."""
    moved = np.zeros_like(image)
    height, width = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                moved[row, column] = image[row - down, column - right]
    return moved


def test_flip_mirrors_about_half_of_the_images():
    images = random_images(400)
    flipped = augment_images(images, ["flip"], np.random.default_rng(0))
    mirrored = [np.array_equal(after, before[:, ::-1]) for before, after in zip(images, flipped)]
    same = [np.array_equal(after, before) for before, after in zip(images, flipped)]
    assert all(a != b for a, b in zip(mirrored, same))
    assert 150 < sum(mirrored) < 250


def test_shift_moves_by_at_most_one_pixel_along_each_axis():
    images = random_images(200)
    seen = set()
    for before, after in zip(images, augment_images(images, ["shift"], np.random.default_rng(0))):
        moves = [
            (down, right)
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
            if np.array_equal(after, shifted(before, down, right))
        ]
        assert len(moves) == 1
        seen.update(moves)
    assert len(seen) == 9


def test_noise_is_small_and_leaves_the_background():
    images = random_images(100)
    images[:, 0] = 0
    noisy = augment_images(images, ["noise"], np.random.default_rng(0))
    change = noisy.astype(int) - images
    assert np.array_equal(noisy[:, 0], images[:, 0])
    inner = change[(images > 60) & (images < 195)]
    assert 7 < inner.std() < 9
    assert abs(inner.mean()) < 1
    assert augment_images(np.full((1, 9, 9), 255, np.uint8), ["noise"], np.random.default_rng(0)).min() > 200


def test_drop_darkens_one_pixel_in_ten():
    images = np.full((50, 9, 8), 7, np.uint8)
    dropped = augment_images(images, ["drop"], np.random.default_rng(0))
    assert set(np.unique(dropped)) == {0, 7}
    assert 0.08 < (dropped == 0).mean() < 0.12


def test_augmentation_is_seeded_and_changes_no_input():
    images = random_images()
    copy = images.copy()
    first, again, other = (
        augment_images(images, AUGMENTATIONS, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(images, copy)
    assert augment_images(images, [], np.random.default_rng(0)) is images


def test_samples_are_augmented_only_with_random_numbers():
    images = random_images()
    samples = ImageSamples(images, np.zeros(40, np.int64), 20, "sparse", ["flip", "shift"])
    plain = datasets.pixel_times(images.reshape(40, -1), 20, "sparse")
    chosen = np.array([3, 5])
    assert np.array_equal(samples.batch(chosen).first_spike_times(), plain[chosen])
    drawn = samples.batch(chosen, np.random.default_rng(0)).first_spike_times()
    expected = augment_images(images[chosen], ["flip", "shift"], np.random.default_rng(0))
    assert np.array_equal(drawn, datasets.pixel_times(expected.reshape(2, -1), 20, "sparse"))


def test_load_dataset_augments_the_training_part_alone(tmp_path):
    write_images(tmp_path)
    data = datasets.load_dataset("mnist", tmp_path, augment=["shift"])
    for part, augmented in ((data.train, True), (data.test, False)):
        plain, drawn = (part.batch(np.arange(5), rng).to_raster() for rng in (None, np.random.default_rng(0)))
        assert np.array_equal(plain, drawn) != augmented
    unaugmented = datasets.load_dataset("mnist", tmp_path).train.batch(np.arange(12))
    assert np.array_equal(data.train.batch(np.arange(12)).indices, unaugmented.indices)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": random_images().reshape(40, -1)}, "images must be uint8 of shape"),
        ({"labels": np.zeros(39, int)}, "labels must be 40 integers"),
        ({"augment": ["flap"]}, "did you mean 'flip'"),
    ],
)
def test_wrong_images_and_augmentations(change, message):
    with one_line(InputError, message):
        ImageSamples(**{"images": random_images(), "labels": np.zeros(40, int), "n_steps": 5} | change)


@given(seed=st.integers(0, 2**32 - 1), polarities=st.sampled_from([1, 2]), counts=st.booleans())
def test_shifted_recordings_are_shifted_rasters(seed, polarities, counts):
    rng = np.random.default_rng(seed)
    raster = rng.integers(0, 3 if counts else 2, (4, 3, polarities, 4, 5))
    events = SpikeEvents.from_raster(raster.reshape(4, 3, -1), counts=counts)
    right, down = rng.integers(-2, 3, (2, 4))
    moved = shift_events(events, 5, 4, right, down)
    expected = np.zeros_like(raster)
    for b, t, p, y, x in np.ndindex(raster.shape):
        if 0 <= y - down[b] < 4 and 0 <= x - right[b] < 5:
            expected[b, t, p, y, x] = raster[b, t, p, y - down[b], x - right[b]]
    assert np.array_equal(moved.to_raster(), expected.reshape(4, 3, -1))
    # The constructor accepts what came out: in order, and in range.
    SpikeEvents(moved.indptr, moved.indices, 3, 20 * polarities, counts)


def test_recordings_are_moved_only_with_random_numbers(tmp_path):
    write_nmnist(tmp_path)
    plain = datasets.load_dataset("nmnist", tmp_path)
    data = datasets.load_dataset("nmnist", tmp_path, augment=["shift"])
    chosen = np.array([4, 0])
    expected = plain.train.batch(chosen).to_raster()
    assert np.array_equal(data.train.batch(chosen).to_raster(), expected)
    first, again = (data.train.batch(chosen, np.random.default_rng(1)).to_raster() for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, expected)
    assert np.array_equal(data.train.labels, plain.train.labels)
    assert len(data.train) == 12
    with one_line(InputError, "augment other than shift has no meaning for nmnist"):
        datasets.load_dataset("nmnist", tmp_path, augment=["flip"])
    with one_line(InputError, "a sensor of 5 x 5 pixels has a multiple of 25 inputs, got 1156"):
        CameraSamples(plain.train, 5, 5)
