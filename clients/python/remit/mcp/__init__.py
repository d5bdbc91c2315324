"""`remit-mcp`: an MCP server by which copilots get AWS access for a task, as a profile's name and never as keys."""
