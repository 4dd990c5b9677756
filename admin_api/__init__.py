"""The JSON API: operations under /api/v1, their document (OpenAPI 3.1) and a page about them."""
