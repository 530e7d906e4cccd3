"""`python -m tests.decoders`: how our decoding differs from TensorFlow's on the same files.

Writes one made photograph in every format, decodes it both ways, and prints the difference in
levels of 255: the table of docs/images.md. JPEG also with TensorFlow's slower, exact transform.
Not collected by pytest: it measures, and judges nothing.
"""

import io

import numpy as np
import PIL
import tensorflow as tf
from PIL import Image

from vpt_gen.images.codec import decode

FILES = {
    "PNG": ("PNG", {}),
    "BMP": ("BMP", {}),
    "GIF": ("GIF", {}),
    "JPEG 4:4:4, quality 90": ("JPEG", {"quality": 90, "subsampling": 0}),
    "JPEG 4:2:2, quality 90": ("JPEG", {"quality": 90, "subsampling": 1}),
    "JPEG 4:2:0, quality 90": ("JPEG", {"quality": 90, "subsampling": 2}),
    "JPEG 4:2:0, quality 75": ("JPEG", {"quality": 75, "subsampling": 2}),
    "JPEG 4:2:0, progressive": ("JPEG", {"quality": 90, "subsampling": 2, "progressive": True}),
    "JPEG gray": ("JPEG", {"quality": 90}),
    "JPEG CMYK": ("JPEG", {"quality": 90}),
    "WebP": ("WEBP", {}),
    "AVIF": ("AVIF", {}),
    "TIFF": ("TIFF", {}),
    "JPEG 2000": ("JPEG2000", {}),
    "PPM": ("PPM", {}),
}
MODES = {"JPEG gray": "L", "JPEG CMYK": "CMYK", "GIF": "P"}


def photograph(side: int = 512) -> Image.Image:
    """Noise with the spectrum of photographs (amplitude falls with 1 / frequency), in color."""
    generator = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    spectrum = np.fft.fft2(generator.standard_normal((3, side, side)))
    values = np.fft.ifft2(spectrum / np.maximum(frequency, 1 / side)).real
    values = (values - values.mean()) / values.std() * 55 + 128
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def readings(data: bytes, is_jpeg: bool):
    """What TensorFlow makes of a file: how, and the pixels."""
    yield "", tf.io.decode_image(data, channels=3, expand_animations=False).numpy()
    if is_jpeg:
        exact = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
        yield " (INTEGER_ACCURATE)", exact.numpy()


def main():
    tf.config.set_visible_devices([], "GPU")
    picture = photograph()
    print(f"Pillow {PIL.__version__}, TensorFlow {tf.__version__}\n")
    print("| file | mean difference | largest | pixels that differ |\n|---|---:|---:|---:|")
    for name, (kind, options) in FILES.items():
        buffer = io.BytesIO()
        picture.convert(MODES.get(name, "RGB")).save(buffer, kind, **options)
        ours = decode(buffer.getvalue()).astype(int)
        try:
            for how, theirs in readings(buffer.getvalue(), kind == "JPEG"):
                difference = np.abs(ours - theirs)
                share = 100 * difference.any(axis=-1).mean()
                figures = f"{difference.mean():.3f} | {difference.max()} | {share:.1f} %"
                print(f"| {name}{how} | {figures} |")
        except tf.errors.InvalidArgumentError:
            print(f"| {name} | not read by TensorFlow | | |")


if __name__ == "__main__":
    main()
