"""Reconstructions as a set of images: neither real images nor copies of them."""

import numpy as np

from tests import measured
from vpt_gen.data.source import Source
from vpt_gen.evaluation import report
from vpt_gen.evaluation.image_sets import in_memory, real_images
from vpt_gen.evaluation.reconstructed import given_back
from vpt_gen.evaluation.yardstick import Yardstick


def test_reconstructions_are_not_copies_of_the_images():
    pixels, labels = measured.blobs(6)
    contents = np.arange(6, dtype=np.uint64)
    source = Source("made", ("a", "b", "c"), labels, pixels.__getitem__, "digest", contents)
    images = real_images(source, "real images", "all", None)
    made = given_back(images, in_memory(pixels // 2))
    assert len(list(made.stream())) == len(made) == 6
    yardstick = Yardstick(measured.extractor(), images, None, 0, None)
    assert report.protocol(yardstick, images, "")["generated"]["copies_of_reference"] == 6
    shared = report.protocol(yardstick, made, "")
    assert shared["generated"] == {
        "images": "6 reconstructed images",
        "count": 6,
        "reconstructed_from": images.record,
    }
    record = {"protocol": shared, "figures": {}, "left_out": {}}
    assert not any("copies" in sentence.lower() for sentence in report.remarks(record))
