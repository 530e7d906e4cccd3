"""Files on the Hugging Face Hub, through its own library: its cache, tokens, mirrors and switches.

An address is `hf://<owner>/<repository>[@<revision>][/<file>]`. huggingface_hub is imported where
it is used, as most programs never need it.
"""

import contextlib
import pathlib
import re
from collections.abc import Iterator, Sequence

from vpt_gen.errors import UserError

SCHEME = "hf://"
# Of a repository that `vpt_gen.export` pushed, if an address names no file.
FILE = "tuned.safetensors"
_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+?)(?:@([\w.-]+))?(?:/(.+))?")


def is_address(text: str) -> bool:
    """Whether a text is an address on the Hub."""
    return text.startswith(SCHEME)


def parse(address: str) -> tuple[str, str | None, str]:
    """Returns repository, revision (None: the newest) and file of an address.

    Raises:
      UserError: another form.
    """
    matched = _ADDRESS.fullmatch(address)
    if not matched:
        raise UserError(
            f"{address!r} is no address of a file: it must be "
            "hf://<owner>/<repository>[@<revision>][/<file>]."
        )
    return matched[1], matched[2], matched[3] or FILE


def fetch(address: str) -> pathlib.Path:
    """Returns the path of an address's file in the cache of huggingface_hub; fetches it once.

    Raises:
      UserError: no such file, or no network.
    """
    import huggingface_hub

    repository, revision, file = parse(address)
    with _reported(address):
        return pathlib.Path(huggingface_hub.hf_hub_download(repository, file, revision=revision))


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
        raise UserError(
            f"{what}: access must be granted first; ask for it on the repository's page, then log "
            "in with `hf auth login`."
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise UserError(
            f"{what} does not exist, or is private: check the name, or log in with `hf auth login`."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise UserError(
            f"{what} is not in the cache of huggingface_hub and cannot be fetched: check the "
            "network, or give a file of another machine as --checkpoint=<file>.safetensors."
        ) from error
    except errors.EntryNotFoundError as error:
        raise UserError(
            f"{what}: the repository has no such file; name it as hf://<owner>/<repository>/<file>."
        ) from error
    # HTTPError is that of the library's client: no answer, or one that is an error.
    except (errors.HTTPError, errors.HFValidationError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{what}: {reason.rstrip('.')}; check the network and the token."
        ) from error
