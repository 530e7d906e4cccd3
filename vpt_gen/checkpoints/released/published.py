"""Which weights are published where, and how a file comes here: looked up, or fetched."""

import base64
import dataclasses
import hashlib
import os
import pathlib
from typing import Any

import requests

from vpt_gen.errors import UserError
from vpt_gen.machine.files import write_text
from vpt_gen.machine.progress import say, track

_CHUNK = 1 << 20  # bytes
_TIMEOUT = 60  # seconds without an answer


@dataclasses.dataclass(frozen=True)
class Published:
    """A published file.

    Attributes:
      kind: of `vpt_gen.checkpoints.released.READERS`.
      file: its name in the folder of weights.
      address: where it is published.
      megabytes: about how large it is.
      purpose: what it is for.
    """

    kind: str
    file: str
    address: str
    megabytes: int
    purpose: str


_MASKGIT = "https://storage.googleapis.com/maskgit-public/checkpoints"
_HEIBOX = "https://heibox.uni-heidelberg.de/d"
_LAST = "files/?p=%2Fckpts%2Flast.ckpt&dl=1"
_CIN = (
    "https://app.koofr.net/content/links/90cbd5aa-ef70-4f5e-99bc-f12e5a89380e/files/get/last.ckpt"
    "?path=%2F2021-04-03T19-39-50_cin_transformer%2Fcheckpoints%2Flast.ckpt"
)
_HUGGING_FACE = "https://huggingface.co/xvjiarui"
_PORT = "resolve/main/diffusion_pytorch_model.bin"

FILES = {
    "maskgit256_tokenizer": Published(
        "maskgit_tokenizer",
        "tokenizer_imagenet256_checkpoint",
        f"{_MASKGIT}/tokenizer_imagenet256_checkpoint",
        217,
        "NAR at 256 px: images to tokens (1024 codes)",
    ),
    "maskgit256_transformer": Published(
        "maskgit_transformer",
        "maskgit_imagenet256_checkpoint",
        f"{_MASKGIT}/maskgit_imagenet256_checkpoint",
        692,
        "NAR at 256 px: ImageNet, 1000 classes",
    ),
    "maskgit512_tokenizer": Published(
        "maskgit_tokenizer",
        "tokenizer_imagenet512_checkpoint",
        f"{_MASKGIT}/tokenizer_imagenet512_checkpoint",
        217,
        "NAR at 512 px: images to tokens (1024 codes)",
    ),
    "maskgit512_transformer": Published(
        "maskgit_transformer",
        "maskgit_imagenet512_checkpoint",
        f"{_MASKGIT}/maskgit_imagenet512_checkpoint",
        694,
        "NAR at 512 px: ImageNet, 1000 classes",
    ),
    "taming_f16_1024": Published(
        "taming_vqgan",
        "vqgan_imagenet_f16_1024.ckpt",
        f"{_HEIBOX}/8088892a516d4e3baf92/{_LAST}",
        935,
        "images to tokens (1024 codes), to train an AR model of your own on",
    ),
    "taming_f16_16384": Published(
        "taming_vqgan",
        "vqgan_imagenet_f16_16384.ckpt",
        f"{_HEIBOX}/a7530b09fed84f80a887/{_LAST}",
        980,
        "images to tokens (16384 codes), to train an AR model of your own on",
    ),
    "taming_cin_tokenizer": Published(
        "taming_vqgan",
        "cin_transformer.ckpt",
        _CIN,
        5900,
        "AR at 256 px: images to tokens (16384 codes); inside the file of the transformer",
    ),
    "taming_cin_transformer": Published(
        "taming_gpt",
        "cin_transformer.ckpt",
        _CIN,
        5900,
        "AR at 256 px: ImageNet, 1000 classes",
    ),
    "diffusers_f16_1024": Published(
        "diffusers_vqgan",
        "taming_vq_f16_n1024.bin",
        f"{_HUGGING_FACE}/taming-vq-f16-n1024/{_PORT}",
        289,
        "the port of taming_f16_1024 to diffusers",
    ),
    "diffusers_f16_16384": Published(
        "diffusers_vqgan",
        "taming_vq_f16_n16384.bin",
        f"{_HUGGING_FACE}/taming-vq-f16-n16384/{_PORT}",
        304,
        "the port of taming_f16_16384 to diffusers",
    ),
}


def obtain(name: str, weights_dir: str) -> pathlib.Path:
    """The path of a published file, which is fetched where the folder lacks it.

    Next to a file lies `<file>.sha256`, written when it was fetched. It is compared whenever the
    file's size or time is no longer the one noted there.

    Raises:
      UserError: unknown name, no network, or a file that changed since it was fetched.
    """
    if name not in FILES:
        raise UserError(f"No published weights are called {name!r}; known: {', '.join(FILES)}.")
    published = FILES[name]
    path = pathlib.Path(weights_dir).expanduser() / published.file
    if path.exists():
        _compare(path)
    else:
        fetch(published.address, path)
    return path


def fetch(address: str, path: pathlib.Path) -> None:
    """Downloads a file, going on where an earlier attempt stopped.

    The checksum that the server announces, if any, is compared.

    Raises:
      UserError: no network or no such address, or what came is not what the server announced.
    """
    partial = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        announced, hashes = _download(address, partial)
    except requests.RequestException as error:
        raise UserError(
            f"{address} cannot be fetched ({type(error).__name__}); fetch it elsewhere and put it "
            f"at {path}, or give the same command again to go on."
        ) from error
    if any(hashes[name].hexdigest() != digest for name, digest in announced.items()):
        partial.unlink()
        raise UserError(f"{address} arrived damaged; give the same command again.")
    _note(path, hashes["sha256"].hexdigest(), partial.stat())
    partial.replace(path)


def _download(address: str, partial: pathlib.Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Appends to `partial` what it lacks; the announced checksums, and the hashes of the whole.

    Hashes are taken while the file arrives: reading gigabytes once more takes long.
    """
    hashes = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(address, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            _hash_file(partial, hashes)  # All of it is here already.
            return {}, hashes
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            have = 0  # The server starts from the beginning.
        total = have + int(answer.headers.get("Content-Length", 0))
        say(f"Fetching {address}, {total / 1e6:,.0f} MB, into {partial.parent}.")
        if have:
            _hash_file(partial, hashes)
        with (
            open(partial, "ab" if have else "wb") as file,
            track(total=total, initial=have, label="fetching", in_bytes=True) as bar,
        ):
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
                _update(hashes, chunk)
                bar.update(len(chunk))
        if partial.stat().st_size < total:
            raise requests.ConnectionError("the connection ended early")
        return _announced(answer), hashes


def _announced(answer: requests.Response) -> dict[str, str]:
    """The checksums, in hexadecimal, that a server sends: Google's storage, Hugging Face's."""
    checksums = {}
    for entry in answer.headers.get("x-goog-hash", "").split(","):
        name, _, value = entry.strip().partition("=")
        if name == "md5":
            checksums["md5"] = base64.b64decode(value).hex()
    # Hugging Face names a large file's SHA-256 where it redirects to the file's place.
    for redirect in answer.history:
        tag = redirect.headers.get("X-Linked-ETag", "").strip('"')
        if len(tag) == 64:
            checksums["sha256"] = tag
    return checksums


def _update(hashes: dict[str, Any], chunk: bytes) -> None:
    for one in hashes.values():
        one.update(chunk)


def _hash_file(path: pathlib.Path, hashes: dict[str, Any]) -> None:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            _update(hashes, chunk)


def _digest_file(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.sha256")


def _note(path: pathlib.Path, digest: str, status: os.stat_result) -> None:
    write_text(_digest_file(path), f"{digest} {status.st_size} {status.st_mtime_ns}\n")


def _compare(path: pathlib.Path) -> None:
    noted = _digest_file(path)
    if not noted.exists():
        return
    digest, *seen = noted.read_text().split()
    status = path.stat()
    if seen == [str(status.st_size), str(status.st_mtime_ns)]:
        return
    with open(path, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise UserError(
                f"{path} is not the file that was fetched: its SHA-256 is not that of {noted}. "
                "Delete both and fetch it again."
            )
    _note(path, digest, status)


def table() -> str:
    """The published files, as the README shows them."""
    rows = ["| name | file | MB | what it is for |", "|---|---|---|---|"]
    for name, published in FILES.items():
        link = f"[{published.file}]({published.address})"
        rows.append(f"| `{name}` | {link} | {published.megabytes:,} | {published.purpose} |")
    return "\n".join(rows)
