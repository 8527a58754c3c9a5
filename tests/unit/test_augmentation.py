"""Augmented images: every change is one of those named, seeded, and for training alone."""

import gzip

import numpy as np
import pytest

from minisnn import datasets
from minisnn.datasets.idx import FILES
from minisnn.datasets.images import AUGMENTATIONS, ImageSamples, augment_images
from minisnn.errors import InputError
from tests.unit.test_datasets import idx_bytes


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
    images, labels = random_images(12, 28, 28), np.arange(12) % 10
    for names in FILES.values():
        for name, array in zip(names, (images, labels)):
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
    data = datasets.load_dataset("mnist", tmp_path, augment=["shift"])
    everything = np.arange(12)
    plain = data.test.batch(everything).first_spike_times()
    assert np.array_equal(data.test.batch(everything, np.random.default_rng(0)).first_spike_times(), plain)
    assert np.array_equal(data.train.batch(everything).first_spike_times(), plain)
    assert not np.array_equal(
        data.train.batch(everything, np.random.default_rng(0)).first_spike_times(), plain
    )


def test_wrong_images_and_augmentations():
    labels = np.zeros(40, np.int64)
    for call, message in [
        (lambda: ImageSamples(random_images().reshape(40, -1), labels, 5), "images must be uint8 of shape"),
        (lambda: ImageSamples(random_images().astype(float), labels, 5), "got float64 of shape"),
        (lambda: ImageSamples(random_images(), labels[1:], 5), "labels must be 40 integers"),
        (lambda: ImageSamples(random_images(), labels, 5, augment=["flap"]), "did you mean 'flip'"),
        (lambda: ImageSamples(random_images(), labels, 0), "n_steps must be a whole number"),
        (lambda: datasets.load_dataset("yin-yang", augment=["flip"]), "augment has no meaning for yin-yang"),
    ]:
        with pytest.raises(InputError, match=message):
            call()
