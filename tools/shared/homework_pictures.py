# SPDX-License-Identifier: MIT
"""The homework's pictures and views, exactly as include/bantam/data reads them."""

import io
import math

import numpy as np
from PIL import Image, UnidentifiedImageError

from homework_folders import PictureError

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
LARGEST_PICTURE = 64_000_000


# ----------------------------------------------------------------------------------------- pictures

def decode(content, stored_size):
    """The picture file's bytes as uint8 [stored_size, stored_size, 3], RGB. The message of the
    PictureError for a bad picture follows its name."""
    if not content:
        raise PictureError("is empty")
    Image.MAX_IMAGE_PIXELS = None  # LARGEST_PICTURE is checked before decoding instead
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "BMP")) as picture:
            if picture.size[0] * picture.size[1] > LARGEST_PICTURE:
                raise PictureError("is too large")
            if picture.mode == "CMYK":
                raise PictureError("is a CMYK picture (convert it to RGB)")
            pixels = to_rgb(picture)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError("is not a JPEG, PNG or BMP picture") from None
    except Exception as error:  # Pillow raises many kinds on damaged files
        raise PictureError("is truncated or damaged") from error
    return squash(pixels, stored_size)


def to_rgb(picture):
    """8-bit RGB; alpha is dropped, not blended, and 16 bits keep their upper eight."""
    if picture.mode.startswith("I"):
        upper = (np.asarray(picture).astype(np.int64) >> 8).astype(np.uint8)
        return np.repeat(upper[:, :, None], 3, axis=2)
    return np.asarray(picture.convert("RGB"))


def squash(pixels, size):
    """Resizes each axis to `size`: exact area average where it shrinks, bilinear where it grows.

    Weights are whole numbers, so the sums are exact and the result is that of data/resize.hpp.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    rows, row_total = resize_weights(height, size)
    columns, column_total = resize_weights(width, size)
    sums = np.tensordot(rows, pixels.astype(np.float64), (1, 0))
    sums = np.tensordot(sums, columns, (1, 1)).transpose(0, 2, 1).astype(np.int64)
    divisor = row_total * column_total
    return ((2 * sums + divisor) // (2 * divisor)).astype(np.uint8)


def resize_weights(inputs, outputs):
    """(matrix of whole numbers [outputs, inputs] that resizes one axis, the sum of each row)."""
    weights = np.zeros((outputs, inputs))
    if inputs >= outputs:
        # In units of 1 / outputs of a source pixel.
        for output in range(outputs):
            begin, end = output * inputs, (output + 1) * inputs
            for source in range(begin // outputs, -(-end // outputs)):
                weights[output, source] = min(end, (source + 1) * outputs) - max(begin, source * outputs)
        return weights, inputs
    unit = 2 * outputs
    for output in range(outputs):
        place = min(max((2 * output + 1) * inputs - outputs, 0), (inputs - 1) * unit)
        weights[output, place // unit] = unit - place % unit
        if place % unit:
            weights[output, place // unit + 1] = place % unit
    return weights, unit


# -------------------------------------------------------------------------------------------- views

def positions(start, extent, outputs, inputs):
    """Where the outputs of one axis lie in the source: (lower pixel, upper pixel, weight of the upper)."""
    source = (start + (np.arange(outputs) + 0.5) * extent / outputs) * inputs - 0.5
    source = np.clip(source, 0, inputs - 1)
    lower = np.minimum(source.astype(np.int64), inputs - 1)
    return lower, np.minimum(lower + 1, inputs - 1), source - lower


def cut(pixels, view, height, width):
    """Cuts view (top, left, height, width, flipped) to float32 [height, width, 3], bilinear."""
    top, left, view_height, view_width, flipped = (float(number) for number in view)
    y0, y1, fy = positions(top, view_height, height, pixels.shape[0])
    x0, x1, fx = positions(left, view_width, width, pixels.shape[1])
    fy, fx = fy.astype(np.float32)[:, None, None], fx.astype(np.float32)[None, :, None]
    rows = pixels[y0].astype(np.float32) * (1 - fy) + pixels[y1].astype(np.float32) * fy
    result = rows[:, x0] * (1 - fx) + rows[:, x1] * fx
    return result[:, ::-1] if flipped else result


def normalize(pixels):
    return (pixels / np.float32(255) - np.float32(MEAN)) / np.float32(DEVIATION)


VIEWS_PER_IMAGE = 1024  # random streams per picture
MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix_bits(bits):
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
    return bits ^ (bits >> 31)


class Random:
    """The generator of include/bantam/base/random.hpp."""

    def __init__(self, seed, stream):
        self.key = mix_bits((mix_bits((seed + GOLDEN) & MASK) + (stream + 1) * GOLDEN) & MASK)
        self.counter = 0

    def bits(self):
        self.counter += 1
        return mix_bits((self.key + self.counter * GOLDEN) & MASK)

    def uniform(self, low=0.0, high=1.0):
        return low + (high - low) * ((self.bits() >> 11) * 2.0 ** -53)


def random_view(seed, image, view):
    """View number `view` of picture number `image` as (top, left, height, width, flipped), float32.

    View 0 is the whole picture; the others are random_view of include/bantam/data/view.hpp.
    """
    if view == 0:
        return np.array([0, 0, 1, 1, 0], np.float32)
    random = Random(seed, image * VIEWS_PER_IMAGE + view)
    box = (0.0, 0.0, 1.0, 1.0)
    for _ in range(10):
        area = random.uniform(float(np.float32(0.35)), 1.0)
        aspect = math.exp(random.uniform(math.log(0.75), math.log(float(np.float32(4) / np.float32(3)))))
        height, width = math.sqrt(area / aspect), math.sqrt(area * aspect)
        if height > 1 or width > 1:
            continue
        top = random.uniform() * (1 - height)
        box = (top, random.uniform() * (1 - width), height, width)
        break
    return np.array([*box, random.uniform() < 0.5], np.float32)
