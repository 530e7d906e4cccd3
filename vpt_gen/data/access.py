"""How to get the TensorFlow Datasets of our configs, and whether they are available.

The facts were checked in November 2026 against TFDS 4.9.10; none of the downloads could be tried.
Instead of fetching a file, TFDS uses one of the same name in its `manual` folder.
"""

import dataclasses
import importlib.util
import pathlib
import shutil

_GB = 1e9
# The archives, and about as much again for the prepared data.
_DISK_PER_DOWNLOAD = 2.0


@dataclasses.dataclass(frozen=True)
class Access:
    """How to get a data set.

    Attributes:
      gigabytes: size of its archives.
      manual: files that the user must put into TFDS's `manual` folder, with their addresses; empty
        if TFDS fetches everything.
      note: a further hint.
      packages: PyPI names of modules that preparing needs.
    """

    gigabytes: float
    manual: dict[str, str] = dataclasses.field(default_factory=dict)
    note: str = ""
    packages: dict[str, str] = dataclasses.field(default_factory=dict)


_OPENCV = {"cv2": "opencv-python-headless"}
_SCIPY = {"scipy": "scipy"}
_H5PY = {"h5py": "h5py"}
_SUN = "https://vision.princeton.edu/projects/2010/SUN"
_KAGGLE = "https://www.kaggle.com/c/diabetic-retinopathy-detection/data"
_IMAGENET = "https://image-net.org/download-images"

# Files that our programs make -> the command.
_MADE_BY = {
    f"downloads/source_{name}.npz": f"bash launch/fetch.sh {name} downloads"
    for name in ("grey", "photos")
}

# Builder without config and version -> access.
ACCESS = {
    "caltech101": Access(0.14),
    "cifar100": Access(0.17),
    "sun397": Access(
        39.1,
        manual={
            "SUN397.tar.gz": f"{_SUN}/SUN397.tar.gz",
            "Partitions.zip": f"{_SUN}/download/Partitions.zip",
        },
        note="the host has answered 404 since 2025: use another copy, or class folders",
        packages=_OPENCV,
    ),
    "svhn_cropped": Access(1.58, packages=_SCIPY),
    "oxford_flowers102": Access(0.35, packages=_SCIPY),
    "oxford_iiit_pet": Access(0.81),
    "dtd": Access(0.63),
    "eurosat": Access(
        0.09,
        note="the host's certificate has expired; a copy of EuroSAT.zip is at "
        "https://zenodo.org/records/7711810",
    ),
    "resisc45": Access(
        0.43,
        manual={"NWPU-RESISC45": "https://1drv.ms/u/s!AmgKYzARBl5ca3HNaHIlzp_IXjs"},
        note="unpack the rar file, so that its class folders lie in NWPU-RESISC45",
    ),
    "patch_camelyon": Access(8.03, packages=_H5PY),
    "diabetic_retinopathy_detection": Access(
        88.3,
        manual=dict.fromkeys(("sample", "train", "test", "trainLabels.csv"), _KAGGLE),
        note="needs a Kaggle account; unpack sample.zip, train.zip and test.zip",
        packages=_OPENCV,
    ),
    "kitti": Access(12.58, packages=_OPENCV),
    "smallnorb": Access(0.26),
    "dsprites": Access(0.03, packages=_H5PY),
    "clevr": Access(19.02),
    "dmlab": Access(3.02),
    "places365_small": Access(31.4),
    "imagenet2012": Access(
        154.6,
        manual=dict.fromkeys(("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"), _IMAGENET),
        note="needs an account there",
    ),
    "imagenet_sketch": Access(7.6),
    "domainnet": Access(5.6),
}


STATES = ("ready", "downloadable", "preparable", "needs files", "blocked")


@dataclasses.dataclass(frozen=True)
class Status:
    """Whether a data set can be used.

    Attributes:
      state: one of `STATES`; 'preparable' means that all files are there.
      gigabytes: free disk that preparing it takes.
      advice: what to do, one sentence per line.
    """

    state: str
    gigabytes: float = 0.0
    advice: tuple[str, ...] = ()

    @property
    def can_be_prepared(self) -> bool:
        return self.state in ("downloadable", "preparable")


def folder_status(path: str) -> Status:
    """Returns the status of a data set that is the user's file or folder."""
    if not path:
        return Status("needs files", advice=("set --config.data.path to your folder of images.",))
    if pathlib.Path(path).expanduser().exists():
        return Status("ready")
    cure = "set --config.data.path"
    if path in _MADE_BY:
        cure = f"make it with `{_MADE_BY[path]}`, or {cure}"
    return Status("needs files", advice=(f"{path} does not exist; {cure}.",))


def package_status(module: str, cure: str) -> Status:
    """Returns the status of a data set inside a Python package."""
    if importlib.util.find_spec(module):
        return Status("ready")
    return Status("blocked", advice=(f"it ships in the package {module}: {cure}.",))


def tfds_status(builder, manual_dir: pathlib.Path) -> Status:
    """Returns the status of a TFDS builder; `manual_dir` is for files that TFDS does not fetch."""
    if builder.is_prepared():
        return Status("ready")
    access = ACCESS.get(builder.name)
    if access is None:
        return Status("downloadable", advice=("its size and host are unknown.",))
    gigabytes = _DISK_PER_DOWNLOAD * access.gigabytes
    problems = _problems(builder, access, gigabytes)
    missing = [name for name in access.manual if not (manual_dir / name).exists()]
    advice = [f"{access.note}."] if access.note else []
    advice += [f"put {name} at {manual_dir / name} ({access.manual[name]})." for name in missing]
    if problems:
        return Status("blocked", gigabytes, (*problems, *advice))
    if missing:
        return Status("needs files", gigabytes, tuple(advice))
    return Status("preparable" if access.manual else "downloadable", gigabytes, tuple(advice))


def _problems(builder, access: Access, gigabytes: float) -> list[str]:
    """Lists what keeps TFDS from preparing the data set even with all files."""
    lacking = [
        package
        for module, package in access.packages.items()
        if importlib.util.find_spec(module) is None
    ]
    problems = [
        f"preparing it needs {package}: pip install -e .[vtab], or pip install {package}."
        for package in lacking
    ]
    free = shutil.disk_usage(_existing(pathlib.Path(builder.data_path))).free / _GB
    if free < gigabytes:
        problems.append(
            f"preparing it takes about {gigabytes:.0f} GB of disk, but only {free:.0f} GB are free "
            f"at {builder.data_path}: give a larger disk with --data_dir."
        )
        problems += [
            f"{folder} was left unfinished by a killed run: delete it if no run uses it now."
            for folder in _half_prepared(pathlib.Path(builder.data_path))
        ]
    return problems


def _half_prepared(data_path: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders of unfinished preparations of a data set."""
    return sorted(data_path.parent.glob(f"incomplete.*_{data_path.name}"))


def _existing(path: pathlib.Path) -> pathlib.Path:
    """Returns the path, or the nearest existing folder above it."""
    while not path.exists():
        path = path.parent
    return path
