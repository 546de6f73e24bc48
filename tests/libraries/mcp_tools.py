"""An MCP server on standard input and output, with a few tools. The tests start it as a program."""

from __future__ import annotations

from mcp.server.fastmcp import FastMCP

server = FastMCP("arithmetic")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def divide(a: int, b: int) -> float:
    """Divides a number by another one."""
    return a / b


if __name__ == "__main__":
    server.run("stdio")
