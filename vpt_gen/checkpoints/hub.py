"""Files on the Hugging Face Hub, through its own library: its cache, tokens, mirrors and switches.

`HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` mean what they mean everywhere.
huggingface_hub is imported where it is used, as most programs never need it.
"""

import contextlib
import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Iterator, Sequence

from vpt_gen.errors import UserError
from vpt_gen.machine import network

SCHEME = "hf://"
# Of a repository that `vpt_gen.export` pushed, if an address names no file.
FILE = "tuned.safetensors"
_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+?)(?:@([\w.-]+))?(?:/(.+))?")
_URL = re.compile(r"https://huggingface\.co/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    Attributes:
      repository: `<owner>/<name>`.
      revision: a branch, tag or commit; None is the newest commit.
      path: of the file in the repository.
    """

    repository: str
    revision: str | None
    path: str

    def __str__(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return f"{SCHEME}{self.repository}{at}/{self.path}"


def is_address(text: str) -> bool:
    """Whether a text is an address on the Hub."""
    return text.startswith(SCHEME)


def parse(address: str) -> HubFile:
    """Returns the file at an address `hf://<owner>/<repository>[@<revision>][/<file>]`.

    Raises:
      UserError: another form.
    """
    matched = _ADDRESS.fullmatch(address)
    if not matched:
        raise UserError(
            f"{address!r} is no address of a file: it must be "
            "hf://<owner>/<repository>[@<revision>][/<file>]."
        )
    return HubFile(matched[1], matched[2], matched[3] or FILE)


def parse_url(url: str) -> HubFile | None:
    """Returns the file that a URL downloads; None if it is not one of the Hub."""
    matched = _URL.fullmatch(url)
    return HubFile(*matched.groups()) if matched else None


def fetch(file: HubFile) -> pathlib.Path:
    """Returns the path of a file in the cache of huggingface_hub; fetches it once.

    Raises:
      UnreachableError: not in the cache, and no network, no access or --offline.
      UserError: no such repository, revision or file.
    """
    from huggingface_hub import hf_hub_download

    with _reported(str(file)):
        return pathlib.Path(
            hf_hub_download(
                file.repository,
                file.path,
                revision=file.revision,
                local_files_only=network.is_offline(),
            )
        )


def compare(path: pathlib.Path, sha256: str = "") -> bool:
    """Compares a file of the cache with its checksum.

    Args:
      path: of `fetch`.
      sha256: the checksum that its publisher states; "" for the one that the Hub states, which
        it does for large files.

    Returns:
      Whether there was a checksum to compare it with.

    Raises:
      UserError: another content.
    """
    content = path.resolve()
    # In the cache, a large file has its SHA-256 as its name.
    stated = sha256 or (content.name if _SHA256.fullmatch(content.name) else "")
    if not stated:
        return False
    with open(content, "rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != stated:
        raise UserError(
            f"{content} is damaged: its SHA-256 is {found}, not {stated}; delete it and give the "
            "same command again."
        )
    return True


def check_push(repository: str) -> None:
    """Raises UserError if nothing can be pushed to a repository: no token, or a wrong name."""
    import huggingface_hub
    from huggingface_hub import constants

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UserError(f"--push={repository} must be <owner>/<repository>.")
    if constants.HF_HUB_OFFLINE:
        raise UserError("--push needs the network, but HF_HUB_OFFLINE is set: unset it.")
    if huggingface_hub.get_token() is None:
        raise UserError("--push needs a token: log in with `hf auth login`, or set HF_TOKEN.")


def push(folder: pathlib.Path, names: Sequence[str], repository: str, private: bool) -> str:
    """Uploads files of a folder in one commit, and returns its address.

    Args:
      folder: of the files.
      names: the files; others in the folder stay here.
      repository: `<owner>/<repository>`; made if it does not exist.
      private: whether a new repository is private.

    Raises:
      UserError: the Hub refuses, or no network.
    """
    import huggingface_hub

    api = huggingface_hub.HfApi(library_name="vpt_gen")
    with _reported(f"{SCHEME}{repository}"):
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=list(names),
            commit_message="Upload of vpt_gen.export",
        )
    return str(commit.commit_url)


@contextlib.contextmanager
def _reported(what: str) -> Iterator[None]:
    """Turns what the library raises for the Hub's answers and the network into one sentence."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise network.UnreachableError(
            f"{what}: access must be granted first",
            "ask for it on the repository's page, then log in with `hf auth login`",
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise UserError(
            f"{what} does not exist, or is private: check the name, or log in with `hf auth login`."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise network.UnreachableError(
            f"{what} is not in the cache of huggingface_hub and cannot be fetched",
            "check the network, or copy the file from another machine and give its path",
        ) from error
    except errors.EntryNotFoundError as error:
        raise UserError(
            f"{what}: the repository has no such file; name it as hf://<owner>/<repository>/<file>."
        ) from error
    # HTTPError is that of the library's client: no answer, or one that is an error.
    except (errors.HTTPError, errors.HFValidationError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise network.UnreachableError(
            f"{what}: {reason.rstrip('.')}", "check the network and the token"
        ) from error
