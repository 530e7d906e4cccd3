"""Readers of array_record files that stay open: opening one takes far longer than a record."""

import collections
import os
import threading
import weakref

from array_record.python.array_record_module import ArrayRecordReader

# Open files of one object: those of three data sets fit into the usual limit of a process, 1024.
MOST_OPEN = 256
# No thread reads ahead: the next record may be anywhere.
_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


class ArrayReaders:
    """Readers by path, the least recently used closed first; one thread reads at a time.

    All are closed by `close`, when the object is deleted, or when the process ends. A copy in
    another process, forked or unpickled, opens its own: processes cannot share a reader's state.
    """

    def __init__(self):
        """Opens nothing yet."""
        self._start()

    def read(self, path: str, number: int) -> bytes:
        """Reads the record of that number.

        Raises:
          OSError: the file cannot be opened, is damaged, or does not have the record.
        """
        if self._process != os.getpid():
            self._start_in_child()
        with self._lock:
            try:
                return self._reader(path).read([number])[0]
            except RuntimeError as error:  # the reader's only kind
                self._drop(path)
                raise OSError(f"{path} has changed since it was opened ({error})") from error

    def close(self) -> None:
        """Closes all readers; later reads open them again."""
        with self._lock:
            _close(self._open)

    def __getstate__(self) -> dict:
        """Returns nothing: readers and locks cannot be pickled."""
        return {}

    def __setstate__(self, state: dict) -> None:
        """Starts like a new object."""
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._open: collections.OrderedDict[str, ArrayRecordReader] = collections.OrderedDict()
        self._finalizer = weakref.finalize(self, _close, self._open)

    def _start_in_child(self) -> None:
        # A thread that exists only in the parent may hold its lock; its readers are not touched.
        self._finalizer.detach()
        self._of_parent = self._open
        self._start()

    def _reader(self, path: str) -> ArrayRecordReader:
        if path not in self._open:
            while len(self._open) >= MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            self._open[path] = ArrayRecordReader(path, _OPTIONS)
        self._open.move_to_end(path)
        return self._open[path]

    def _drop(self, path: str) -> None:
        if reader := self._open.pop(path, None):
            reader.close()


def _close(readers: collections.OrderedDict[str, ArrayRecordReader]) -> None:
    while readers:
        readers.popitem()[1].close()
