"""The MCP configuration of clients: where it is, how this server is added to it and removed from it, and a check."""
