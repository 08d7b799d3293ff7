#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compares tools/decode_pictures, through which both languages read pictures, with Pillow on drawn files of many kinds.

BANTAM_ODD_PICTURES=3000 changes that many files at random (200 by default) and prints how the verdicts compare. Exits
with 77 (skipped) where a Python package is missing."""

import collections
import io
import os
import struct
import sys
import time
import unittest

import programs
from programs import ProgramTest, write

import homework_folders
import homework_pictures
import numpy as np

try:
    from PIL import Image, ImageOps
    from picture_files import DRAWN, HEIGHT, WIDTH, bmp, encoded, png, sound_files
except ImportError:
    print("skipped: PIL is missing; install python3-pil")
    sys.exit(programs.SKIPPED)

os.environ["BANTAM_PROGRAMS"] = os.path.dirname(os.path.dirname(programs.program("tools/decode_pictures")))


def refused_files():
    """name -> (content, message) of files that are refused here. Pillow fills some of them with gray."""
    baseline, progressive = encoded(), encoded(progressive=True)
    first = progressive.index(b"\xff\xda")
    tables = progressive.index(b"\xff\xc4", first)
    damaged = bytearray(encoded(kind="PNG"))
    damaged[damaged.index(b"IDAT") + 20] ^= 0xff
    segment = b"\xff\xe0\0\x08JFIF\0\1"
    many_colors = bytearray(bmp(8, bytes(WIDTH * HEIGHT), bytes(1024)))
    many_colors[46:50] = struct.pack("<I", 1 << 20)
    gray_palette = b"".join(bytes([i, i, i, 0]) for i in range(256))
    return {
        "cut.jpg": (baseline[:len(baseline) * 2 // 3] + b"\xff\xd9", "is truncated"),
        "cut_in_first_scan.jpg": (progressive[:(first + tables) // 2] + b"\xff\xd9", "is truncated"),
        "no_end.jpg": (baseline[:-2], "is truncated"),
        "private_marker.jpg": (baseline[:2] + b"\xff\x01" + baseline[2:], "is damaged"),
        "short_jfif.jpg": (baseline[:2] + segment + baseline[2:], "is damaged"),
        "many_colors.bmp": (bytes(many_colors), "is damaged"),
        "cmyk.jpg": (encoded(DRAWN.convert("CMYK")), "is a CMYK picture (convert it to RGB)"),
        "checksum.png": (bytes(damaged), "is damaged"),
        "cut.png": (encoded(kind="PNG")[:-30], "is truncated"),
        "rle.bmp": (bmp(8, b"".join(bytes([WIDTH, r * 6, 0, 0]) for r in range(HEIGHT)) + b"\0\1", gray_palette, 1),
                    "is of a kind that is not supported (arithmetic, lossless or 12-bit JPEG, compressed BMP)"),
        "animation.gif": (encoded(DRAWN.quantize(64), "GIF"), "is not a JPEG, PNG or BMP picture"),
        "empty.png": (b"", "is empty"),
    }


def pillow_pixels(content):
    """uint8 [height, width, 3], or None where Pillow refuses the file."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "BMP")) as image:
            turned = ImageOps.exif_transpose(image)
            if turned.mode.startswith("I"):
                return np.repeat((np.asarray(turned) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
            if turned.mode in ("LA", "RGBA"):  # alpha is dropped, not blended
                return np.asarray(turned)[..., :-1].repeat(3 if turned.mode == "LA" else 1, axis=2)
            return np.asarray(turned.convert("RGB"))
    except Exception:  # Pillow raises many kinds on damaged files
        return None


class DecodePictures(ProgramTest):
    def setUp(self):
        super().setUp()
        self.reader = self.enterContext(homework_pictures.PictureReader(0))

    def verdict(self, content):
        """(message, pixels or None)."""
        try:
            return "is sound", self.reader.read(write(content, self.path("picture")))
        except homework_folders.PictureError as error:
            return str(error), None

    def test_sound_files_of_every_kind_have_pillows_pixels(self):
        for name, content in sound_files().items():
            with self.subTest(name):
                message, pixels = self.verdict(content)
                expected = pillow_pixels(content)
                self.assertEqual(message, "is sound")
                self.assertEqual(pixels.shape, expected.shape)
                difference = abs(pixels.astype(int) - expected)
                # JPEG decoders round differently; the other formats are exact, but for five bits made eight.
                most, mean = (12, 1.2) if name.endswith(".jpg") else (1 if name == "bits_16.bmp" else 0, 1)
                self.assertLessEqual(difference.max(), most)
                self.assertLessEqual(difference.mean(), mean)

    def test_files_that_are_not_whole_or_not_supported_are_refused_by_name(self):
        for name, (content, expected) in refused_files().items():
            with self.subTest(name):
                self.assertEqual(self.verdict(content)[0], expected)
                if name in ("private_marker.jpg", "short_jfif.jpg", "many_colors.bmp"):
                    self.assertIsNone(pillow_pixels(content))

    def test_small_files_cost_little(self):
        pixel = encoded(Image.new("RGB", (16, 16), (9, 99, 200)), progressive=True)
        frame = pixel.index(b"\xff\xc2")
        large = pixel[:frame + 5] + struct.pack(">HH", 8000, 8000) + pixel[frame + 9:]
        scan = b"\xff\xda\0\x08\1\1\0\1\x3f\0\xaa\xaa"
        for content in (large, large[:-2] + scan * 1000 + b"\xff\xd9",
                        png(1, 0, [bytes(1 << 28)]), png(8, 2, [])):
            start = time.process_time(), time.monotonic()
            self.assertNotEqual(self.verdict(content)[0], "is sound")
            self.assertLess(time.monotonic() - start[1], 5)

    def test_changed_files_are_accepted_only_where_pillow_accepts_them(self):
        rounds = int(os.environ.get("BANTAM_ODD_PICTURES", "200"))
        files = list(sound_files().items())
        random = np.random.default_rng(17)
        counts = collections.Counter()
        for index in range(rounds):
            name, content = files[index % len(files)]
            changed = bytearray(content)
            kind = index // len(files) % 3
            if kind == 0:
                reach = len(changed) if random.integers(2) else min(len(changed), 600)
                for _ in range(random.integers(1, 4)):
                    changed[random.integers(reach)] = random.integers(256)
            elif kind == 1:
                del changed[random.integers(len(changed)):]
            else:
                at = random.integers(len(changed))
                del changed[at:at + random.integers(1, 64)]
            message, pixels = self.verdict(bytes(changed))
            accepted = pillow_pixels(bytes(changed)) is not None
            counts["same verdict" if accepted == (pixels is not None) else
                   f"Pillow accepts, {os.path.splitext(name)[1]} {message} here" if accepted else
                   f"Pillow refuses, {os.path.splitext(name)[1]} is sound here"] += 1
        if rounds > 200:
            for outcome, count in counts.most_common():
                print(f"{count:5} {outcome}")
        only_here = sum(count for outcome, count in counts.items() if outcome.startswith("Pillow refuses"))
        self.assertLessEqual(only_here, rounds // 100)


if __name__ == "__main__":
    unittest.main()
