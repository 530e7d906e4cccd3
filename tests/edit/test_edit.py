"""Repainted images: what is outside of the mask stays, and each depends on its own edit alone."""

import json
import struct
import types

import numpy as np
import pytest
from PIL import Image

from tests.export.test_export import make_run
from tests.programs import call, opened
from vpt_gen.edit import __main__ as edit
from vpt_gen.edit import drawn
from vpt_gen.edit.given import extended, masks_of, read_image
from vpt_gen.edit.written import names_of
from vpt_gen.errors import UserError
from vpt_gen.images import codec, masks
from vpt_gen.nets.transformer import MASK_TOKEN_ID
from vpt_gen.runs.editing import Brush, Edit, check, edits_of, repaint
from vpt_gen.runs.samples import class_bank

BANK = class_bank([0, 1])


@pytest.fixture(scope="module")
def run_of(tiny_nets, tmp_path_factory):
    runs = {}

    def of(family):
        if family not in runs:
            folder = tmp_path_factory.mktemp("edits") / family
            runs[family] = opened(make_run(folder, tiny_nets, family=family))
        return runs[family]

    return of


def image_of(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def edit_of(image, box, condition=BANK[0], number=0):
    return Edit(image, masks.from_box(box, image.shape[:2]), condition, number)


@pytest.mark.slow
@pytest.mark.parametrize(("window", "keep"), [(0, 0.0), (20, 0.0), (0, 0.5)])
def test_pixels_outside_of_the_mask_stay_and_others_change(run_of, window, keep):
    edits = [
        edit_of(image_of(32, 32), (5, 6, 20, 30)),
        edit_of(image_of(45, 31, seed=1), (0, 3, 31, 44), BANK[1]),
        edit_of(image_of(40, 97, seed=2), (2, 0, 95, 40)),
    ]
    painted = repaint(run_of("nar"), edits, Brush(window, keep=keep), seed=3)
    for one, made in zip(edits, painted, strict=True):
        assert made.dtype == np.uint8 and made.shape == one.image.shape
        np.testing.assert_array_equal(made[~one.mask], one.image[~one.mask])
        assert (made[one.mask] != one.image[one.mask]).mean() > 0.5


@pytest.mark.slow
def test_an_image_depends_on_its_own_edit_and_the_seed_alone(run_of):
    run = run_of("nar")
    small, large = (
        edit_of(image_of(32, 32), (4, 4, 8, 8)),
        edit_of(image_of(32, 64), (0, 0, 64, 32)),
    )
    again = edit_of(small.image, (4, 4, 8, 8), number=1)
    together = repaint(run, [large, again, small], Brush(), seed=3)
    alone = repaint(run, [small], Brush(), seed=3)[0]
    np.testing.assert_array_equal(alone, together[2])
    assert (together[1] != together[2]).any()
    assert (repaint(run, [small], Brush(), seed=4)[0] != alone).any()


@pytest.mark.slow
def test_what_is_repainted_does_not_show_through(run_of):
    one = edit_of(image_of(32, 32), (8, 8, 24, 24))
    other = np.where(one.mask[..., None], image_of(32, 32, seed=9), one.image)
    a, b = (
        repaint(run_of("nar"), [Edit(image, one.mask, BANK[0], 0)], Brush(), seed=3)[0]
        for image in (one.image, other)
    )
    np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_causal_transformer_completes_the_rows_below(run_of):
    run, image = run_of("ar"), image_of(32, 32)
    below = edit_of(image, (0, 16, 32, 32))
    check(run, [below], Brush())
    painted = repaint(run, [below], Brush(), seed=3)[0]
    np.testing.assert_array_equal(painted[:16], image[:16])
    assert (painted[16:] != image[16:]).any()


@pytest.mark.slow
def test_what_a_causal_transformer_cannot_complete_leaves_earlier_results(run_of, tmp_path):
    above, below = (f"--box=0,{top},32,{top + 16}" for top in (0, 16))
    arguments = [
        f"--checkpoint={run_of('ar').workdir}",
        f"--image={write(tmp_path / 'photo.png', image_of(32, 32))}",
        "--num=1",
        f"--output={tmp_path / 'out'}",
    ]
    call(edit, *arguments, below, needs_config=False)
    earlier = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert "edits.json" in earlier
    for given, why in (
        ([above], "cannot look ahead, so the mask must reach"),
        (["--keep=0.5"], "cannot keep tokens among those that it draws: set keep to 0"),
    ):
        with pytest.raises(UserError, match=why):
            call(edit, *arguments, *given, needs_config=False)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == earlier


@pytest.mark.slow
def test_what_is_known_at_the_beginning_of_a_sequence_changes_nothing_else(run_of):
    """A causal transformer runs at once what no image lacks, or else token by token."""
    run = run_of("ar")
    count = run.token_sampler.num_tokens

    def drawn(known):
        batches = run.token_sampler.stream(run.params, BANK, seed=3, known=known)
        return np.concatenate([batch.tokens for batch in batches])

    known = np.zeros((2, count), np.int32)
    np.testing.assert_array_equal(drawn(known), known)
    known[0, count // 2 :] = known[1, count // 2 + 1 :] = MASK_TOKEN_ID
    at_once = drawn(known)
    np.testing.assert_array_equal(at_once[known != MASK_TOKEN_ID], 0)
    known[1, 1] = MASK_TOKEN_ID
    np.testing.assert_array_equal(drawn(known)[0], at_once[0])


def fake_run(grid):
    """A run as `check` sees it."""
    net = types.SimpleNamespace(one_dimensional=False, family="nar", grid=lambda count: grid)
    sampler = types.SimpleNamespace(transformer=net, num_tokens=grid[0] * grid[1])
    sampler.has_tokens = True
    return types.SimpleNamespace(sampler=sampler, token_sampler=sampler)


@pytest.mark.parametrize(
    ("size", "window", "noted"),
    [((1, 30), 0, "1 x 1"), ((30, 40), 7, "7 x 7"), ((8, 30), 0, ""), ((1, 1), 0, "")],
)
def test_a_note_says_if_windows_are_tiny(size, window, noted, capsys):
    one = edit_of(image_of(*size), (0, 0, *size[::-1]))
    check(fake_run((8, 8)), [one, one], Brush(window))
    said = capsys.readouterr().out
    assert said.count(f"is painted in windows of {noted}, one pass each") == bool(noted)
    assert bool(said) == bool(noted)


def test_an_extended_image_has_the_given_one_inside():
    image = image_of(9, 7)
    canvas, mask = extended(image, (2, 0, 1, 4))
    assert canvas.shape == (13, 10, 3)
    np.testing.assert_array_equal(canvas[:9, 2:9], image)
    assert not mask[:9, 2:9].any() and mask.sum() == 13 * 10 - 9 * 7
    with pytest.raises(UserError, match="adds nothing to repaint"):
        extended(image, (0, 0, 0, 0))
    with pytest.raises(UserError, match="makes 7 x 3000009 pixels; at most 16,777,216"):
        extended(image, (0, 3_000_000, 0, 0))


def test_every_edit_has_a_file_of_its_own():
    images, classes = ["x/red.png", "red_old.png"], ["car", "old_car", "bus"]
    labels = np.array([0, 1, 2])
    names = names_of(images, labels, classes)
    assert len(set(names)) == 6 and names[1] == "0000_red_old_car_0000.png"
    assert names_of(images, labels[::2], classes)[0] == "red_car_0000.png"


def write(path, image, mode=None):
    Image.fromarray(image, mode).save(path)
    return str(path)


def test_images_of_any_kind_are_read_in_their_size(tmp_path):
    opaque = image_of(5, 9)
    clear = np.dstack([opaque, np.zeros((5, 9), np.uint8)])
    deep = np.arange(45, dtype=np.uint16).reshape(5, 9) * 1000
    assert (read_image(write(tmp_path / "clear.png", clear)) == 255).all()
    assert read_image(write(tmp_path / "deep.png", deep)).shape == (5, 9, 3)
    np.testing.assert_array_equal(read_image(write(tmp_path / "opaque.png", opaque)), opaque)
    assert read_image(write(tmp_path / "one.png", opaque[:1, :1])).shape == (1, 1, 3)


def test_what_training_reads_in_spite_of_its_metadata_is_read(tmp_path):
    image = image_of(3, 3)
    data = codec.encode_png(image)
    text = struct.pack(">I", 5) + b"tEXt" + b"a\0bcd" + b"\0\0\0\0"  # Of a wrong checksum.
    for damaged in (b"\n" + data, data[:33] + text + data[33:]):
        (tmp_path / "image.png").write_bytes(damaged)
        np.testing.assert_array_equal(read_image(str(tmp_path / "image.png")), image)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC; convert it to JPEG$"),
        (b"version https://git-lfs.github.com/spec/v1\n", "`git lfs pull` fetches the image$"),
        (codec.encode_png(image_of(9, 9))[:60], "truncated"),
    ],
)
def test_why_an_image_cannot_be_read_is_told_as_in_training(data, reason, tmp_path):
    (tmp_path / "image.png").write_bytes(data)
    with pytest.raises(UserError, match=f"image.png cannot be read as an image: .*{reason}"):
        read_image(str(tmp_path / "image.png"))


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none.png is no file"):
        read_image(str(tmp_path / "none.png"))
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(UserError, match=r"text.png cannot be read as an image"):
        read_image(str(tmp_path / "text.png"))
    Image.new("1", (8000, 5000)).save(tmp_path / "large.png")
    with pytest.raises(UserError, match="8000 x 5000 pixels; at most 16,777,216 can be edited"):
        read_image(str(tmp_path / "large.png"))


def test_what_to_repaint_must_be_said_in_one_way(tmp_path):
    images = [image_of(4, 4), image_of(4, 4)]
    mask = write(tmp_path / "mask.png", np.full((4, 4), 255, np.uint8))
    assert all(m.all() for m in masks_of(images, [mask], [], 0.0))
    assert all(m.all() for m in masks_of(images, [], [], 0.5))
    for arguments, message in [
        (([], [], 0.0), "give --mask, --box, --extend or --keep"),
        (([mask], [0, 0, 1, 1], 0.0), "--mask and --box exclude each other"),
        (([mask] * 3, [], 0.0), "There are 3 of --mask for 2 of --image"),
    ]:
        with pytest.raises(UserError, match=message):
            masks_of(images, *arguments)


def test_transparent_parts_of_a_mask_stay(tmp_path):
    strokes = np.zeros((8, 8, 4), np.uint8)
    strokes[2:4, 2:6] = 255
    strokes[6] = (255, 255, 255, 60)  # The soft edge of a stroke.
    [mask] = masks_of([image_of(8, 8)], [write(tmp_path / "mask.png", strokes)], [], 0.0)
    np.testing.assert_array_equal(mask, masks.from_box((2, 2, 6, 4), (8, 8)))


@pytest.mark.slow
def test_the_program_writes_images_and_a_picture_and_repeats_itself(run_of, tmp_path):
    image, output = write(tmp_path / "photo.png", image_of(20, 30)), tmp_path / "out"
    arguments = [
        f"--checkpoint={run_of('nar').workdir}",
        f"--image={image}",
        "--box=4,4,16,18",
        "--num=2",
        "--set=num_iterations=4",
        f"--output={output}",
    ]
    call(edit, *arguments, needs_config=False)
    names = {f"photo_{name}_{i:04d}.png" for name in ("bars", "discs") for i in range(2)}
    assert {path.name for path in output.iterdir()} == {*names, "edits.png", "edits.json"}
    first = {name: (output / name).read_bytes() for name in names}
    assert len(set(first.values())) == 4
    call(edit, *arguments, needs_config=False)
    assert {name: (output / name).read_bytes() for name in names} == first
    note = json.loads((output / "edits.json").read_text())
    assert note["files"].keys() == {*names, "edits.png"} and "--box=4,4,16,18" in note["command"]


@pytest.mark.parametrize(("side", "together"), [(512, 10), (2048, 10), (4096, 4)])
def test_large_images_are_painted_few_at_a_time(side, together):
    sampler = types.SimpleNamespace(images_at_a_time=10)
    run = types.SimpleNamespace(sampler=sampler)
    generation = types.SimpleNamespace(run=run, digest=lambda: "")
    image = np.broadcast_to(np.uint8(0), (side, side, 3))  # Takes no memory.
    bank = class_bank([0] * 20)
    edits = edits_of(image, np.broadcast_to(True, (side, side)), bank)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, "digest_of", lambda *given: "")
        drawing = drawn.drawing_of(generation, edits, [f"{i}.png" for i in range(20)], Brush())
    assert drawing.at_a_time == together


@pytest.mark.slow
def test_an_interrupted_program_resumes_at_the_next_batch(run_of, tmp_path, monkeypatch):
    def start(output):
        arguments = [
            f"--checkpoint={run_of('nar').workdir}",
            f"--image={write(tmp_path / 'photo.png', image_of(20, 30))}",
            f"--image={write(tmp_path / 'other.png', image_of(33, 24))}",
            "--box=4,4,16,18",
            "--num=5",
            "--set=num_iterations=4",
            "--set=batch_size=8",
            f"--output={output}",
        ]
        call(edit, *arguments, needs_config=False)
        names = [path.name for path in output.iterdir() if path.name != "edits.json"]
        return {name: (output / name).read_bytes() for name in names}

    painted = []

    def stop_at(number):
        def paint(run, edits, *rest):
            if len(painted) == number:
                raise KeyboardInterrupt
            painted.append(len(edits))
            return repaint(run, edits, *rest)

        monkeypatch.setattr(drawn, "repaint", paint)

    stop_at(None)
    expected = start(tmp_path / "whole")
    assert len(expected) == 21 and painted == [8, 8, 8]
    stop_at(5)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("*.png"))) == 16
    stop_at(None)
    assert start(tmp_path / "parts") == expected and len(painted) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--box=1,2,3"], "--box=1,2,3 must be four whole numbers"),
        (["--box=1,2,3,x"], "must be four whole numbers"),
        (["--extend=1,1,1,1", "--box=0,0,2,2"], "leave --mask and --box out"),
        (["--box=0,0,2,2", "--window=21"], "A window of 21 pixels is larger than an image of 30 x"),
        (["--box=0,0,2,2", "--classes=cubes"], "Class 'cubes' is unknown"),
        (["--box=0,0,1,20", "--rule=most"], "less than half of every token, .* use the rule 'any'"),
        ([], "Say what to repaint"),
    ],
)
def test_bad_requests_are_one_sentence_and_write_nothing(run_of, tmp_path, given, message):
    image = write(tmp_path / "photo.png", image_of(20, 30))
    arguments = [f"--checkpoint={run_of('nar').workdir}", f"--image={image}", *given]
    with pytest.raises(UserError, match=message):
        call(edit, *arguments, f"--output={tmp_path / 'out'}", needs_config=False)
    assert not list((tmp_path / "out").glob("*.png"))


@pytest.mark.slow
def test_one_way_to_decode_is_compiled_once_for_all_windows(run_of):
    sampler = run_of("nar").sampler
    assert sampler.with_options(num_iterations=4) is sampler.with_options(num_iterations=4)
    assert sampler.with_options(num_iterations=5).options["num_iterations"] == 5
