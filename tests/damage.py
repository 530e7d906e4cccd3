"""The simple ways in which a file is damaged."""


def flip(content):
    """One bit, in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


# Of any file, and of one that should hold a JSON object: content -> damaged content.
ANY = {"empty": lambda content: b"", "cut": lambda content: content[: len(content) // 2]}
JSON = {
    **ANY,
    "not UTF-8": lambda content: b"\xff" + content,
    "a list": lambda content: b"[]",
    "a number": lambda content: b"7",
    "null": lambda content: b"null",
    "too deep": lambda content: b"[" * 100_000,
    "without keys": lambda content: b"{}",
}


def apply(path, damage):
    path.write_bytes(damage(path.read_bytes()))


def files_of(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def assert_sentence(error, *parts):
    """One line that ends the sentence and has these parts."""
    text = str(error.value)
    assert "\n" not in text and text.endswith("."), text
    for part in parts:
        assert part in text, text
