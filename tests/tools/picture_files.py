# SPDX-License-Identifier: MIT
"""Drawn picture files of many kinds. Needs NumPy and Pillow."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 40, 52
ROW, COLUMN = np.mgrid[0:HEIGHT, 0:WIDTH]
RGB = np.stack([COLUMN * 4, ROW * 6, (COLUMN + ROW) * 2 + 20], 2).astype(np.uint8)
DRAWN = Image.fromarray(RGB)


def encoded(image=DRAWN, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(depth, color, rows, extra=b""):
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, color, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(b"".join(rows)))
            + chunk(b"IEND", b""))


def bmp(bits, pixels, palette=b"", compression=0, top_down=False):
    start = 54 + len(palette)
    return (b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
            + struct.pack("<IiiHHIIiiII", 40, WIDTH, -HEIGHT if top_down else HEIGHT, 1, bits, compression, len(pixels),
                          2835, 2835, len(palette) // 4, 0) + palette + pixels)


def interlaced(image):
    """A PNG with Adam7 interlacing, which Pillow does not write."""
    pixels, rows = np.asarray(image), []
    for top, left, down, right in ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
                                   (1, 0, 2, 1)):
        rows += [b"\0" + row.tobytes() for row in pixels[top::down, left::right]]
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 1)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows)))
            + chunk(b"IEND", b""))


def with_orientation(number):
    exif = Image.Exif()
    exif[0x112] = number
    return exif


def sound_files():
    """name -> content of files that both sides read."""
    files = {f"quality_{quality}_{subsampling}.jpg": encoded(quality=quality, subsampling=subsampling)
             for quality in (30, 75, 95) for subsampling in (0, 1, 2)}
    files |= {f"orientation_{number}.jpg": encoded(exif=with_orientation(number)) for number in range(1, 9)}
    files |= {f"orientation_{number}.png": encoded(kind="PNG", exif=with_orientation(number)) for number in range(1, 9)}
    baseline = encoded()
    gray = DRAWN.convert("L")
    sixteen = RGB.astype(np.uint16) * 257
    files |= {
        "progressive.jpg": encoded(progressive=True, quality=92),
        "progressive_444.jpg": encoded(progressive=True, subsampling=0),
        "optimized.jpg": encoded(optimize=True),
        "gray.jpg": encoded(gray),
        "gray_progressive.jpg": encoded(gray, progressive=True),
        "restart.jpg": encoded(restart_marker_blocks=1),
        "restart_rows_progressive.jpg": encoded(progressive=True, restart_marker_rows=1),
        "tiny.jpg": encoded(DRAWN.resize((1, 1))),
        "padding.jpg": baseline[:-2] + bytes(64) + b"\xff\xd9",
        "stuffed_padding.jpg": baseline[:-2] + b"\xff\x00" * 32 + b"\xff\xd9",
        "restart_before_end.jpg": baseline[:-2] + b"\xff\xd0\xff\xd9",
        "filled_end.jpg": baseline[:-2] + b"\xff\xff\xff\xd9",
        "trailer.jpg": baseline[:-2] + b"\0\0\1\nImage_UTC_Data" + bytes(40) + b"SEFT",
        "behind_end.jpg": baseline + b"junk" * 50,
        "rgb.png": encoded(kind="PNG"),
        "gray.png": encoded(gray, "PNG"),
        "gray_alpha.png": encoded(DRAWN.convert("LA"), "PNG"),
        "alpha.png": encoded(Image.fromarray(np.dstack([RGB, RGB[..., 0]])), "PNG"),
        "palette.png": encoded(DRAWN.quantize(16), "PNG", transparency=3),
        "palette_beyond.png": png(8, 3, [b"\0" + bytes(i % 8 for i in range(WIDTH))] * HEIGHT,
                                  chunk(b"PLTE", bytes(range(24)))),
        "bits_1.png": encoded(DRAWN.convert("1"), "PNG"),
        "bits_2.png": png(2, 0, [b"\0" + b"\x1b" * (WIDTH // 4)] * HEIGHT),
        "bits_16.png": png(16, 2, [b"\0" + row.astype(">u2").tobytes() for row in sixteen]),
        "interlaced.png": interlaced(DRAWN),
        "no_end.png": encoded(kind="PNG")[:-12],
        "behind_end.png": encoded(kind="PNG") + b"junk" * 9,
        "animated.png": encoded(kind="PNG", save_all=True, append_images=[DRAWN.transpose(Image.ROTATE_180)]),
        "rgb.bmp": encoded(kind="BMP"),
        "gray.bmp": encoded(gray, "BMP"),
        "palette.bmp": encoded(DRAWN.quantize(16), "BMP"),
        "bits_1.bmp": encoded(DRAWN.convert("1"), "BMP"),
        "top_down.bmp": bmp(24, RGB[..., ::-1].tobytes(), top_down=True),
        "bits_16.bmp": bmp(16, (np.arange(HEIGHT * WIDTH) % 32768).astype("<u2").tobytes()),
        "bits_32.bmp": bmp(32, np.dstack([RGB[::-1, :, ::-1], RGB[..., 0]]).tobytes()),
    }
    return files
