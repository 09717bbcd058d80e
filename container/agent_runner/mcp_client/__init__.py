"""The client of MCP servers: the tools of `mcpServers` in `container.json`.

Only a sandboxed runner with such servers imports the modules that need the package `mcp`, which takes 0.6 s.
"""
