"""Tools of others through the Model Context Protocol, and this node's tools for others."""
