# SPDX-License-Identifier: MIT
"""The homework's pictures and views, exactly as include/bantam/data reads them."""

import glob
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

import numpy as np

from homework_folders import PictureError, archive_of

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


# ----------------------------------------------------------------------------------------- pictures

class DecoderError(ValueError):
    """tools/decode_pictures cannot be run; the message is one line."""


class PictureReader:
    """Reads picture files through tools/decode_pictures, so that both languages accept the same files and get the same
    pixels. `stored_size` 0 leaves pictures as large as they are."""

    def __init__(self, stored_size):
        self.process = subprocess.Popen([decoder_program(), str(stored_size)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def read(self, path):
        """uint8 [height, width, 3], RGB. The message of the PictureError for a bad picture follows its name."""
        try:
            self.process.stdin.write(os.fsencode(path) + b"\0")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().decode()
        except OSError:
            answer = ""
        if not answer.endswith("\n"):
            raise DecoderError(f"{path}: {self.process.args[0]} ended while decoding it; is there enough memory?")
        if answer.startswith("error: "):
            raise DecoderError(answer.removeprefix("error: ").strip())
        if not answer.startswith("is sound "):
            raise PictureError(answer.strip())
        height, width = (int(number) for number in answer.split()[2:])
        pixels = self.process.stdout.read(height * width * 3)
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


class ContentReader:
    """Reads the bytes of pictures that a PictureReader has found sound, also of those in tar archives. The latest archive
    stays open."""

    def __init__(self):
        self.archive, self.members = None, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.archive:
            self.archive.close()

    def read(self, path):
        name = archive_of(path)
        if not name:
            with open(path, "rb") as file:
                return file.read()
        if self.archive is None or self.archive.name != os.path.abspath(name):
            self.__exit__()
            self.archive = tarfile.open(name, "r:")
            self.members = {member.name.removeprefix("./"): member for member in self.archive}
        return self.archive.extractfile(self.members[path[len(name) + 1:]]).read()


SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def decoder_program():
    """The path of tools/decode_pictures: that of $BANTAM_PROGRAMS or of a build folder, or one that is built here."""
    name = os.path.join("tools", "decode_pictures")
    source = os.path.join(SOURCE, name + ".cpp")
    headers = glob.glob(os.path.join(SOURCE, "include", "bantam", "data", "*.hpp"))
    headers += glob.glob(os.path.join(SOURCE, "include", "bantam", "io", "*.hpp"))
    changed = max(os.path.getmtime(path) for path in [source, *headers])
    given = os.environ.get("BANTAM_PROGRAMS")
    if given and os.path.exists(os.path.join(given, name)):
        return os.path.join(given, name)
    for path in glob.glob(os.path.join(SOURCE, "build", "*", name)):
        if os.path.getmtime(path) >= changed:
            return path
    return build_decoder(source, os.path.join(SOURCE, "build", "decoder", name))


def build_decoder(source, target):
    compiler = os.environ.get("CXX", "c++")
    print("building tools/decode_pictures, which reads the pictures", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        built = os.path.join(folder, "decode_pictures")
        command = [*compiler.split(), "-std=c++20", "-O2", "-I" + os.path.join(SOURCE, "include"), source, "-o", built]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            raise DecoderError(f"{compiler}: {error.strerror}; install a C++20 compiler, or build the target "
                               "decode_pictures and set BANTAM_PROGRAMS to the build folder") from None
        if done.returncode != 0:
            first = next((line for line in done.stderr.splitlines() if "error" in line), "no message")
            raise DecoderError(f"{source}: cannot be compiled ({first}); run tools/install_dependencies.sh")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=os.path.dirname(target))
        os.close(handle)
        shutil.copy(built, beside)
        os.replace(beside, target)
    return target


# -------------------------------------------------------------------------------------------- views

def positions(start, extent, outputs, inputs):
    """Where the outputs of one axis lie in the source: (lower pixel, upper pixel, weight of the upper)."""
    source = (start + (np.arange(outputs) + 0.5) * extent / outputs) * inputs - 0.5
    source = np.clip(source, 0, inputs - 1)
    lower = np.minimum(source.astype(np.int64), inputs - 1)
    return lower, np.minimum(lower + 1, inputs - 1), source - lower


def cut(pixels, view, height, width):
    """Cuts view (top, left, height, width, flipped, then brightness, contrast and saturation) to float32
    [height, width, 3], bilinear, in the picture's own colors."""
    top, left, view_height, view_width, flipped = (float(number) for number in view[:5])
    y0, y1, fy = positions(top, view_height, height, pixels.shape[0])
    x0, x1, fx = positions(left, view_width, width, pixels.shape[1])
    fy, fx = fy.astype(np.float32)[:, None, None], fx.astype(np.float32)[None, :, None]
    rows = pixels[y0].astype(np.float32) * (1 - fy) + pixels[y1].astype(np.float32) * fy
    result = rows[:, x0] * (1 - fx) + rows[:, x1] * fx
    return result[:, ::-1] if flipped else result


def change_colors(colors, view):
    """Colors in [0, 1] with the view's brightness, contrast and saturation, as in include/bantam/data/color.hpp."""
    brightness, contrast, saturation = np.float32(view[5:])
    luma = colors @ np.float32([0.299, 0.587, 0.114])
    saturated = saturation * colors + (1 - saturation) * luma[..., None]
    return brightness * contrast * saturated + np.float32(0.5) * (1 - contrast)


def shown(pixels, view, height, width):
    """What a network sees of a view, float32 [height, width, 3]."""
    colors = change_colors(cut(pixels, view, height, width) / np.float32(255), view)
    return (colors - np.float32(MEAN)) / np.float32(DEVIATION)


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


WHOLE_VIEW = np.array([0, 0, 1, 1, 0], np.float32)


def drawn_view(random, min_area=0.35):
    """random_view of include/bantam/data/view.hpp: (top, left, height, width, flipped), float32."""
    box = (0.0, 0.0, 1.0, 1.0)
    for _ in range(10):
        area = random.uniform(float(np.float32(min_area)), 1.0)
        aspect = math.exp(random.uniform(math.log(0.75), math.log(float(np.float32(4) / np.float32(3)))))
        height, width = math.sqrt(area / aspect), math.sqrt(area * aspect)
        if height > 1 or width > 1:
            continue
        top = random.uniform() * (1 - height)
        box = (top, random.uniform() * (1 - width), height, width)
        break
    return np.array([*box, random.uniform() < 0.5], np.float32)


def round_to_steps(value, steps):
    """To a multiple of 1 / steps, which half precision has."""
    return np.rint(np.float32(value) * np.float32(steps)) / np.float32(steps)


def random_view(seed, image, view, min_area=0.35, color=0.2):
    """View number `view` of picture number `image` as (top, left, height, width, flipped, brightness, contrast,
    saturation), float16.

    View 0 is the whole picture; the others are random_stored_view of include/bantam/data/stored_view.hpp.
    """
    if view == 0:
        return np.array([*WHOLE_VIEW, 1, 1, 1], np.float16)
    random = Random(seed, image * VIEWS_PER_IMAGE + view)
    top, left, height, width, flipped = drawn_view(random, min_area)
    height, width = (max(round_to_steps(extent, 2048), np.float32(1 / 2048)) for extent in (height, width))
    top, left = min(round_to_steps(top, 2048), 1 - height), min(round_to_steps(left, 2048), 1 - width)
    color = float(np.float32(color))
    factors = [round_to_steps(random.uniform(1 - color, 1 + color), 1024) for _ in range(3)]
    return np.array([top, left, height, width, flipped, *factors], np.float16)
