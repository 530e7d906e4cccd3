"""TAR shards of images in the layout of WebDataset, for more images than a folder takes well.

A shard holds images one after the other, each as `00000042.png` and its class's number as
`00000042.cls`; its bytes depend on these alone. An image in a shard is named
`000000.tar/00000042.png`, an image that is a file by that file's name.
"""

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence

from etils import epath

EXTENSION = ".tar"


def names_of(count: int, shard_size: int) -> list[str]:
    """Returns the names of `count` images, of which each shard but the last has `shard_size`."""
    return [f"{i // shard_size:06d}{EXTENSION}/{i:08d}.png" for i in range(count)]


def file_of(name: str) -> str:
    """Returns the file that holds an image: a shard, or the image's own."""
    return name.partition("/")[0]


def pack(images: Mapping[str, bytes], class_ids: Sequence[int]) -> bytes:
    """Returns the content of a shard: images, as PNG by their names, with their classes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as shard:
        for (name, image), class_id in zip(images.items(), class_ids, strict=True):
            path = name.partition("/")[2]
            for member, content in (
                (path, image),
                (f"{path.removesuffix('.png')}.cls", str(class_id).encode()),
            ):
                entry = tarfile.TarInfo(member)
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def read_images(folder: epath.Path, names: Sequence[str]) -> Iterator[bytes]:
    """Yields the content of images, neighbors from one reading of their shard."""
    latest, content = "", b""
    places: dict[str, tuple[int, int]] = {}
    for name in names:
        file, _, member = name.partition("/")
        if file != latest:
            latest, content = file, (folder / file).read_bytes()
            places = places_in(content) if member else {}
        start, size = places.get(member, (0, len(content)))
        yield content[start : start + size]


def places_in(content: bytes) -> dict[str, tuple[int, int]]:
    """Returns the start and size of each file in a shard."""
    with tarfile.open(fileobj=io.BytesIO(content)) as shard:
        return {member.name: (member.offset_data, member.size) for member in shard}
