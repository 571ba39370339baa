"""Services that describe themselves with OpenAPI, as tools."""
