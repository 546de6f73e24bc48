"""Error texts lose what is nobody's business."""

from __future__ import annotations

import time

import pytest

from anyiostream.wire.redaction import LONGEST, one_line, redacted


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
        ("'/srv/my dir/key.pem' is missing", "'<path>' is missing"),
        ('"C:\\Program Files\\a b" is missing', '"<path>" is missing'),
        ("C:\\Program Files\\x is missing", "<path> is missing"),
        ("cannot open:/srv/x/y.pem", "cannot open:<path>"),
        ("(/srv/x) [/srv/x] {/srv/x}", "(<path>) [<path>] {<path>}"),
        ("./key ../key ~bob/key $HOME/key", "<path> <path> <path> <path>"),
        (r"%APPDATA%\x C:/Users/x", "<path> <path>"),
        ("src/app/key.py failed", "<path> failed"),
        ("sqlite:////srv/db.sqlite FILE:///etc/passwd", "<path> <path>"),
        ("/srv//app///key //nas/key src//app//key.py", "<path> <path> <path>"),
        (r"/srv\app\key is missing", "<path> is missing"),
        ("http://localhost//x, wss://host/x, a // b, // why", "http://localhost//x, wss://host/x, a // b, // why"),
        (
            "http://localhost:1/x, text/html, 12/31/2024, v1.2/3.4",
            "http://localhost:1/x, text/html, 12/31/2024, v1.2/3.4",
        ),
    ],
)
def test_paths_and_tracebacks_are_taken_out(text: str, shown: str) -> None:
    """Paths become `<path>`, a traceback is cut off, and the rest stays readable."""
    assert redacted(text) == shown


def test_a_log_line_is_one_line() -> None:
    """Whatever would begin another one, or tell a terminal something, is escaped."""
    assert one_line("a\r\nb\x1b[2J\u2028\x85c\td") == r"a\r\nb\x1b[2J\u2028\x85c\td"
    assert one_line(ValueError("Zürich 東京")) == "Zürich 東京"


@pytest.mark.parametrize("piece", ["=", "/", "'", "a/", "/a//", "a//", "~", "C:\\", "a.b/", '"/'])
def test_no_text_is_slow(piece: str) -> None:
    """What is not shown is not searched either."""
    began = time.process_time()
    redacted(piece * 10**6)
    assert time.process_time() - began < 2


def test_long_texts_are_cut() -> None:
    """A model's whole answer in an exception does not go out."""
    assert len(redacted("x" * 10_000)) == LONGEST + 3
