"""A tool server made with the library mcp as it is published: on standard input and output, or at a port."""

import sys
from typing import Literal

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("sums", version="1")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
async def shout(text: str, ctx: Context, mood: Literal["glad", "cross"] = "glad") -> str:
    """Says it louder."""
    await ctx.report_progress(1, 2)
    return text.upper() + ("!" if mood == "glad" else "?!")


@server.tool()
def fail() -> str:
    """Always fails."""
    raise ValueError("it is broken")


if sys.argv[1:]:
    server.run("streamable-http", port=int(sys.argv[1]), json_response=sys.argv[2] == "json")
else:
    server.run("stdio")
