"""Folders without permission, also for tests that root runs."""

import errno
import os

import pytest


@pytest.fixture
def forbid(monkeypatch):
    """Takes permissions from a folder: to be entered and, unless `listed`, to be listed."""

    def forbid(folder, listed):
        forbidden = os.fsencode(folder)

        def guarded(function, allowed):
            def call(path=".", *arguments, **options):
                name = os.fsencode(path).rstrip(b"/") if not isinstance(path, int) else b""
                inside = name.startswith(forbidden + b"/")
                if inside or (name == forbidden and not allowed):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
                return function(path, *arguments, **options)

            return call

        monkeypatch.setattr(os, "stat", guarded(os.stat, True))
        monkeypatch.setattr(os, "scandir", guarded(os.scandir, listed))

    return forbid
