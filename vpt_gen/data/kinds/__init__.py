"""All kinds of data sets by name; a new one needs its file and a line here."""

from ml_collections import ConfigDict

from vpt_gen.data.kinds.digits import Digits
from vpt_gen.data.kinds.folder import Folder
from vpt_gen.data.kinds.kind import Kind
from vpt_gen.data.kinds.npz import Npz
from vpt_gen.data.kinds.tfds import Tfds
from vpt_gen.data.kinds.vtab import Vtab
from vpt_gen.errors import UserError

KINDS: dict[str, Kind] = {
    "folder": Folder(),
    "vtab": Vtab(),
    "tfds": Tfds(),
    "npz": Npz(),
    "digits": Digits(),
}


def kind_of(data: ConfigDict) -> Kind:
    """Returns the kind of `config.data`.

    Raises:
      UserError: an unknown kind.
    """
    if data.kind not in KINDS:
        known = ", ".join(map(repr, KINDS))
        raise UserError(f"config.data.kind is {data.kind!r}; it must be one of {known}.")
    return KINDS[data.kind]
