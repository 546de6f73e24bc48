"""Error texts lose what is nobody's business."""

from __future__ import annotations

import pytest

from anyiostream.remote.redaction import LONGEST, redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[Errno 2] No such file or directory: '/home/x/secret'", "[Errno 2] No such file or directory: '<path>'"),
        ('File "/srv/app/graph.py", line 3', 'File "<path>", line 3'),
        (r"C:\Users\me\key.txt is missing", "<path> is missing"),
        (r"\\server\share\x", "<path>"),
        ("~/.ssh/id_rsa", "<path>"),
        ("path=/etc/passwd", "path=<path>"),
        ("file:///etc/passwd", "<path>"),
        (
            "see https://example.org/a/b, or 3/4 of it and/or more",
            "see https://example.org/a/b, or 3/4 of it and/or more",
        ),
        ("boom\nTraceback (most recent call last):\n  File ...", "boom"),
        ("it broke", "it broke"),
    ],
)
def test_paths_and_tracebacks_are_taken_out(text: str, shown: str) -> None:
    """Paths become `<path>`, a traceback is cut off, and the rest stays readable."""
    assert redacted(text) == shown


def test_long_texts_are_cut() -> None:
    """A model's whole answer in an exception does not go out."""
    assert len(redacted("x" * 10_000)) == LONGEST + 3
