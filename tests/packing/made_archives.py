"""Small archives like those of the registries."""

import io
import json
import lzma
import tarfile

from PIL import Image, ImageDraw


def png(draw, size=(100, 100), mode="RGBA", ground=(0, 0, 0, 0)):
    """The bytes of a PNG that `draw` draws on."""
    image = Image.new(mode, size, ground)
    draw(ImageDraw.Draw(image))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def bar(box, ink="black"):
    return png(lambda pen: pen.rectangle(box, outline=ink, width=3))


def tar(files, mode="w"):
    """The bytes of a tar archive of {path: bytes}."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def write_npm(path, files):
    path.write_bytes(tar({f"package/{name}": content for name, content in files.items()}, "w:gz"))
    return path


def write_deb(path, files):
    """A Debian package whose first member has an odd size, as control.tar.xz may."""
    data = tar({f"./{name}": content for name, content in files.items()})
    with open(path, "wb") as file:
        file.write(b"!<arch>\n")
        for name, content in ((b"debian-binary", b"2.0"), (b"data.tar.xz", lzma.compress(data))):
            file.write(b"%-16s%-32s%-10d`\n" % (name, b"0", len(content)))
            file.write(content + b"\n" * (len(content) % 2))
    return path


def write_clipart(folder, files):
    prefix = "usr/share/openclipart/png/"
    files = {f"{prefix}{name}.png": content for name, content in files.items()}
    return write_deb(folder / "openclipart-png_1.deb", files)


def write_emoji(folder, entries):
    """(category, subcategory, name, PNG) of each; the second file is there to be told apart."""
    about = [
        {
            "category": category,
            "subcategory": subcategory,
            "short_name": name,
            "image": f"{name}.png",
            "has_img_google": True,
        }
        for category, subcategory, name, _ in entries
    ]
    files = {f"img/google/64/{name}.png": picture for *_, name, picture in entries}
    files |= {"emoji.json": json.dumps(about).encode(), "emoji_pretty.json": b"[]"}
    return write_npm(folder / "emoji-datasource-google-16.0.0.tgz", files)
