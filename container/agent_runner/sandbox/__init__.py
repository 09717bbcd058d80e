"""Files and programs of an agent in a sandbox. Only a sandboxed runner imports this package."""
