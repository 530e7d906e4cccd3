"""Runs of methods, made once for a file; the file's `make_config` says of what."""

import functools

import pytest

from tests.programs import train


@pytest.fixture(scope="module")
def trained(make_config, tmp_path_factory):
    """The workdir of a method's run, which tests leave as it is."""

    @functools.cache
    def run(method):
        workdir = tmp_path_factory.mktemp(method)
        train(make_config(method), workdir)
        return workdir

    return run
