"""Whose a working directory is, and what proves it."""

import pytest

from vpt_gen.checkpoints.claim import claim_workdir
from vpt_gen.checkpoints.store import read_record
from vpt_gen.errors import UserError


def leave(folder, name):
    """What a run leaves in its folder."""
    if name == "metrics.json":
        (folder / name).write_text("{}")
    else:
        (folder / name).mkdir(parents=True)


def test_a_run_may_go_on_with_another_mesh(tmp_path):
    claim_workdir(tmp_path, {"seed": 0, "mesh": {"fsdp": 1}}, {})
    leave(tmp_path, "checkpoints/1")
    claim_workdir(tmp_path, {"seed": 0, "mesh": {"fsdp": 4}}, {})


def test_a_run_may_go_on_with_another_value_of_what_may_change(tmp_path):
    before, now = {"seed": 0, "num_steps": 4}, {"seed": 0, "num_steps": 2}
    claim_workdir(tmp_path, before, {})
    leave(tmp_path, "checkpoints/1")
    with pytest.raises(UserError, match="config.num_steps was 4, is 2"):
        claim_workdir(tmp_path, now, {})
    claim_workdir(tmp_path, now, {}, may_change=["num_steps"])
    assert read_record(tmp_path)["config"] == now
    with pytest.raises(UserError, match="config.seed was 0, is 1"):
        claim_workdir(tmp_path, {**before, "seed": 1}, {}, may_change=["num_steps"])
    leave(tmp_path, "checkpoints/2")
    with pytest.raises(UserError, match="has reached update 2, beyond config.num_steps = 1; give"):
        claim_workdir(tmp_path, {**before, "num_steps": 1}, {}, may_change=["num_steps"])
    assert read_record(tmp_path)["config"] == now


def test_a_run_may_go_on_where_its_nets_are_elsewhere(tmp_path):
    before = {"tokenizer": "weights/maskgit256_tokenizer", "transformer": "weights/maskgit256_t"}
    claim_workdir(tmp_path, {"backbone": before}, {"tokenizer": "x"})
    leave(tmp_path, "checkpoints/1")
    now = {"backbone": {"name": "maskgit256", "tokenizer": "", "transformer": ""}}
    claim_workdir(tmp_path, now, {"tokenizer": "x"})
    with pytest.raises(UserError, match="tokenizer differs from the run's: 'x' then, 'y' now"):
        claim_workdir(tmp_path, now, {"tokenizer": "y"})


def test_a_workdir_belongs_to_its_config(tmp_path):
    config = {"seed": 0, "data": {"path": "a", "sizes": (1, 2)}}
    claim_workdir(tmp_path, {"seed": 1}, {"digest": "x"})
    claim_workdir(tmp_path, config, {"digest": "x"})  # Nothing was trained yet: no one's.
    leave(tmp_path, "checkpoints/1")
    claim_workdir(tmp_path, config, {"digest": "x"})
    with pytest.raises(UserError, match="config.data.path was 'a', is 'b'"):
        claim_workdir(tmp_path, {**config, "data": {"path": "b", "sizes": (1, 2)}}, {"digest": "x"})
    with pytest.raises(UserError, match="digest differs from the run's: 'x' then, 'y' now; rest"):
        claim_workdir(tmp_path, config, {"digest": "y"})
    assert read_record(tmp_path)["facts"] == {"digest": "x"}


@pytest.mark.parametrize("name", ["checkpoints/4", "checkpoints/epoch_3.pt", "net", "metrics.json"])
def test_results_without_a_record_of_whose_they_are_are_refused(tmp_path, name):
    leave(tmp_path, name)
    with pytest.raises(UserError, match=rf"holds {name}, but no config.json .* restore that file"):
        claim_workdir(tmp_path, {"seed": 1}, {})
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    "content", [b"", b'{"config": {"se', b"\xff\xfe", b"[]", b"null", b'{"config": {}}', b"{}"]
)
@pytest.mark.parametrize("name", ["checkpoints/4", None])
def test_a_record_that_is_damaged_or_of_others_proves_nothing(tmp_path, content, name):
    if name:
        leave(tmp_path, name)
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match="config.json is damaged"):
        claim_workdir(tmp_path, {"seed": 1}, {})
    assert (tmp_path / "config.json").read_bytes() == content


@pytest.mark.parametrize("name", ["checkpoints/4", "net", "metrics.json"])
def test_results_belong_to_the_run_of_the_record(tmp_path, name):
    claim_workdir(tmp_path, {"seed": 1}, {})
    leave(tmp_path, name)
    claim_workdir(tmp_path, {"seed": 1}, {})
    with pytest.raises(UserError, match="belongs to another run .config.seed was 1, is 2"):
        claim_workdir(tmp_path, {"seed": 2}, {})
    (tmp_path / "config.json").write_text('{"config": {}, "facts": {}}')
    with pytest.raises(UserError, match="belongs to another run"):
        claim_workdir(tmp_path, {"seed": 1}, {})


def test_a_run_killed_during_its_first_save_has_left_nothing(tmp_path):
    claim_workdir(tmp_path, {"seed": 1}, {})
    leave(tmp_path, "checkpoints/4.orbax-checkpoint-tmp-12")
    written = ("events.out.tfevents.1.v2", "pictures/samples_0000002.png", "seconds.json")
    for name in written:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    mine = (tmp_path / "notes.txt", tmp_path / "pictures" / "cat_1.png")
    for path in mine:
        path.touch()
    claim_workdir(tmp_path, {"seed": 1}, {})
    assert all((tmp_path / name).exists() for name in written)
    claim_workdir(tmp_path, {"seed": 2}, {})
    assert read_record(tmp_path)["config"] == {"seed": 2}
    assert all(path.exists() for path in mine)
    assert not any((tmp_path / name).exists() for name in written), "curves of two runs would mix"


def test_a_run_on_other_data_is_shown_a_folder_of_its_own(tmp_path):
    def claim(path):
        claim_workdir(str(tmp_path), {"data": {"path": path, "name": ""}}, {"data": path})

    claim("my/cats")
    leave(tmp_path, "net")
    with pytest.raises(UserError) as error:
        claim("my/dogs")
    assert str(error.value) == (
        f"Workdir {tmp_path} belongs to another run (config.data.path was 'my/cats', is 'my/dogs');"
        f" use its config, or choose another --workdir, such as --workdir={tmp_path}_dogs."
    )


@pytest.mark.parametrize(
    ("then", "now", "counts"),
    [(5, 6, "5 then, 6 now"), (6, 6, "6 as before, but not the same"), (None, 6, "others then, 6")],
)
def test_images_that_changed_between_two_starts_are_counted(tmp_path, then, now, counts):
    """Runs of older versions have no number in their records."""
    facts = {"data": "f2c0", "class_names": ["a"]}
    claim_workdir(tmp_path, {}, {**facts, "num_images": then} if then else facts)
    leave(tmp_path, "net")
    claim_workdir(tmp_path, {}, {**facts, "num_images": now})
    with pytest.raises(UserError) as error:
        claim_workdir(tmp_path, {}, {"data": "06fa", "class_names": ["a", "b"], "num_images": now})
    said = f"the images differ from the run's: {counts}"
    assert said in str(error.value)
    assert str(error.value).endswith("; restore them, or choose another --workdir.")


def test_a_config_recorded_in_older_fields_is_compared_in_those_of_today(tmp_path):
    def migrate(config):
        return {"new": 0, **config}

    claim_workdir(tmp_path, {"seed": 1}, {})
    leave(tmp_path, "checkpoints/1")
    claim_workdir(tmp_path, {"seed": 1, "new": 0}, {}, migrate)
    with pytest.raises(UserError, match="config.new was 0, is 1"):
        claim_workdir(tmp_path, {"seed": 1, "new": 1}, {}, migrate)
    assert read_record(tmp_path)["config"] == {"seed": 1}


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write to workdir"):
        claim_workdir(tmp_path / "file", {}, {})
