"""The outside: MCP, HTTP and their transports. Thin: arguments in, one service call, result out."""
