"""Readers of array_record files that stay open: opening takes far longer than reading a record."""

import collections
import os
import threading
import weakref

from array_record.python.array_record_module import ArrayRecordReader

# Files open at once; a process may often have 1024.
MOST_OPEN = 512
# No thread reads ahead: the next record may lie anywhere.
_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


class ArrayReaders:
    """Readers by path, the least recently used closed first; one thread reads at a time.

    All are closed with `close`, when the object goes, or when the process ends. A copy in another
    process, forked or unpickled, opens its own: a reader's state is not shared between processes.
    """

    def __init__(self):
        """Opens nothing yet."""
        self._start()

    def read(self, path: str, number: int) -> bytes:
        """The record of that number.

        Raises:
          OSError: the file cannot be opened, is damaged, or has no such record.
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
        """Closes all; what is read later is opened again."""
        with self._lock:
            _close(self._open)

    def __getstate__(self) -> dict:
        """Nothing: readers and locks cannot be pickled."""
        return {}

    def __setstate__(self, state: dict) -> None:
        """Starts as a new object does."""
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._open: collections.OrderedDict[str, ArrayRecordReader] = collections.OrderedDict()
        self._finalizer = weakref.finalize(self, _close, self._open)

    def _start_in_child(self) -> None:
        # The parent's lock may be held by a thread that is not here; its readers stay as they are.
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
