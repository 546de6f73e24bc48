"""What type checkers make of programs that use the package. Checked by mypy and pyright, never run.

Lines with `assert_type` say what is inferred. Lines with `type: ignore` are wrong programs: both checkers report an
ignore comment that nothing needs, so that each of these lines must be an error to both.
"""
